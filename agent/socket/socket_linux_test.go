package socket

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOtherUser: the test cannot become another user everywhere, so the list of
// allowed users is what differs.
func TestOtherUser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allow func(uid int) bool
		want  error
	}{
		"own":   {func(uid int) bool { return uid == os.Getuid() }, nil},
		"other": {func(uid int) bool { return uid != os.Getuid() }, io.EOF},
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := listen(path, slog.New(slog.DiscardHandler), c.allow)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go greet(l)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := bufio.NewReader(conn).ReadString('\n'); !errors.Is(err, c.want) {
			t.Errorf("%s user: reading the secret: %v, want %v", name, err, c.want)
		}
		conn.Close()
	}
}

func greet(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "secret\n")
		conn.Close()
	}
}

func TestModeOfSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	for range 2 { // the second finds the first's socket
		l, err := Listen(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.(*listener).Listener.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
}
