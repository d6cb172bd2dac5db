// Package socket listens on a Unix socket that one user may connect to.
//
// In go a path in a directory of the agent's own; out come connections of
// processes that run as the agent's user, or as root, who can be anybody. Over
// the socket goes the workload's private key, so that file modes alone do not
// decide: a directory that was given away later, or an open file descriptor that
// was passed on, is not enough.
package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
)

// Listen makes a socket at path, in the place of one that was left there.
func Listen(path string, log *slog.Logger) (net.Listener, error) {
	return listen(path, log, func(uid int) bool { return uid == os.Geteuid() || uid == 0 })
}

func listen(path string, log *slog.Logger, allow func(uid int) bool) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for envoy: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listening for envoy: %w", err)
	}
	return &listener{l, log, allow}, nil
}

type listener struct {
	net.Listener
	log   *slog.Logger
	allow func(uid int) bool
}

// Accept returns the next connection of an allowed user. The kernel says who
// connected; nothing that the peer sends is read before.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, known, err := peerUser(conn)
		if err == nil && (!known || l.allow(uid)) {
			return conn, nil
		}
		l.log.Warn("another user's connection is closed", "socket", l.Addr().String(), "uid", uid, "error", err)
		conn.Close()
	}
}
