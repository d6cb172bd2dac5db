package gate_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/gate"
)

// One address, and all together, have so many connections, whatever they do with them.
func TestGate(t *testing.T) {
	for name, g := range map[string]*gate.Gate{"of one address": gate.New(9, 2), "of all": gate.New(2, 9)} {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ConnState = g.State
		server.Start()
		defer server.Close()
		get := func() error {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Get(server.URL)
			if err == nil {
				answer.Body.Close()
			}
			return err
		}
		var idle []net.Conn
		for range 2 {
			c, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			idle = append(idle, c)
		}
		if get() == nil {
			t.Errorf("%s: one connection too many is served", name)
		}
		idle[0].Close()
		for end := time.Now().Add(10 * time.Second); get() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: a connection that ended still counts", name)
			}
		}
	}
}
