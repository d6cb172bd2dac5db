package envoytest_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

func TestEchoSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	echo := envoytest.RunEcho(t, "catalog", "v1")
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	response, err := client.Get("http://" + echo.Address() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), `"proto":"HTTP/2.0"`) {
		t.Errorf("got %s, error %v", body, err)
	}
}

func TestLoopbackAddressesShareAPort(t *testing.T) {
	t.Parallel()
	if !envoytest.DistinctLoopback {
		t.Skip("this platform answers on 127.0.0.1 only")
	}
	for range 3 {
		listener, err := net.Listen("tcp", net.JoinHostPort(envoytest.Loopback(), "8080"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
}
