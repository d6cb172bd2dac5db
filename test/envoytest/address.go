package envoytest

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
)

// DistinctLoopback says whether Loopback returns a new address each time, so that every instance
// can have the port that it has in production. Linux answers on all of 127.0.0.0/8.
const DistinctLoopback = runtime.GOOS == "linux"

var loopbacks atomic.Uint32

// Loopback returns a loopback address that no other running test uses: the two bytes in the middle
// are the process's, since go test runs packages side by side, the last counts up. Elsewhere than on
// Linux it is always 127.0.0.1, and ports come from FreePort.
func Loopback() string {
	if !DistinctLoopback {
		return "127.0.0.1"
	}
	return fmt.Sprintf("%s.%d", Network(), 1+(loopbacks.Add(1)-1)%254)
}

// Network returns the first three bytes of this process's loopback addresses, for a test that gives
// out the last one itself. It does not use Loopback then.
func Network() string {
	process := os.Getpid() % 0xfffe // 0xfffe and 0xffff are no process's
	if process == 0 {
		process = 0xfffe // 127.0.0.x is where everything else listens
	}
	return fmt.Sprintf("127.%d.%d", process>>8, process&0xff)
}

// FreePort returns a port of ip on which nothing listens at this moment.
func FreePort(ip string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return 0, fmt.Errorf("looking for a free port of %s: %w", ip, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
