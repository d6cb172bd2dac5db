package feature_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// chat says who serves and who is seen to call, and then repeats every message; "bye"
// ends it with a code of the application's own.
func chat(e *envoytest.Echo) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
		if err != nil {
			return // it has answered
		}
		defer conn.CloseNow() //nolint:errcheck // the client sees it
		conn.SetReadLimit(1 << 20)
		message, kind := []byte(e.Name+" "+r.Header.Get(xfcc)), websocket.MessageText
		for string(message) != "bye" {
			if conn.Write(r.Context(), kind, message) != nil {
				return
			}
			if kind, message, err = conn.Read(r.Context()); err != nil {
				return
			}
		}
		conn.Close(byeCode, "see you") //nolint:errcheck // the client sees it
	})
}

// byeCode is of those that RFC 6455 leaves to applications (section 7.4.2).
const byeCode websocket.StatusCode = 4321

// webSocket: catalog serves /chat, and next what a rule of the folder sends there.
func webSocket(t *testing.T, _ *check.Mesh, run *meshtest.Mesh) {
	for _, workload := range []string{"shop/catalog", "shop/next"} {
		e := run.Echoes(workload)[0]
		for _, path := range []string{"/chat", "/next/chat"} {
			e.Handle(path, chat(e))
		}
	}
	talk(t, run, "/chat", "shop/catalog")
	talk(t, run, "/next/chat", "shop/next")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, response, err := dial(ctx, run, "shop/cron", "/chat")
	if err == nil {
		conn.CloseNow() //nolint:errcheck // it should not be there
		t.Fatal("a caller whom the callee's proxy does not allow has a connection")
	}
	if response == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a caller whom the callee's proxy does not allow: want 403, got %v", err)
	}
}

// dial opens a connection through a workload's proxy.
func dial(ctx context.Context, run *meshtest.Mesh, from, path string) (*websocket.Conn, *http.Response, error) {
	return websocket.Dial(ctx, "ws://"+run.Outbound(from)+path, &websocket.DialOptions{
		Host: "catalog.shop:8080", Subprotocols: []string{"chat"}})
}

func talk(t *testing.T, run *meshtest.Mesh, path, workload string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := dial(ctx, run, "shop/order", path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer conn.CloseNow() //nolint:errcheck // the test is over
	conn.SetReadLimit(1 << 20)
	if conn.Subprotocol() != "chat" {
		t.Errorf("%s: subprotocol %q, want chat", path, conn.Subprotocol())
	}
	_, hello, err := conn.Read(ctx)
	if name, caller, _ := strings.Cut(string(hello), " "); err != nil || name != workload || !strings.Contains(caller, "/sa/order") {
		t.Errorf("%s: served as %q (%v), want %s with the identity of order", path, hello, err, workload)
	}
	for _, m := range []struct {
		kind websocket.MessageType
		data string
	}{{websocket.MessageText, "how are you?"}, {websocket.MessageBinary, strings.Repeat("\x00\xff", 100_000)}, {websocket.MessageText, ""}} {
		if err := conn.Write(ctx, m.kind, []byte(m.data)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if kind, data, err := conn.Read(ctx); err != nil || kind != m.kind || string(data) != m.data {
			t.Errorf("%s: %d bytes as %s came back as %d bytes as %s (%v)", path, len(m.data), m.kind, len(data), kind, err)
		}
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte("bye")); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != byeCode {
		t.Errorf("%s: ended with %v, want the application's code %d", path, err, byeCode)
	}
}
