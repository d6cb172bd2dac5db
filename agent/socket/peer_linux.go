package socket

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerUser returns the effective user of the process that connected
// (SO_PEERCRED, unix(7)).
func peerUser(conn net.Conn) (uid int, known bool, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false, fmt.Errorf("a connection of type %T has no user", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, false, fmt.Errorf("asking who connected: %w", err)
	}
	return int(cred.Uid), true, nil
}
