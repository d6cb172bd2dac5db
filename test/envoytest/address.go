package envoytest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
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

// Ports that FreePort gives out: under those that the kernel gives to outgoing connections and to
// listeners on port 0 (32768 and up on Linux, 49152 and up elsewhere), so that nobody takes one
// between the answer and its use, or while a test has its server down.
const (
	firstPort = 15000
	portCount = 32768 - firstPort
)

var ports atomic.Uint32

// FreePort returns a port of ip on which nothing listens, another one each time.
func FreePort(ip string) (int, error) {
	start := uint32(os.Getpid()) * 97 // processes begin far from each other, for they may share ip
	for range portCount {
		port := firstPort + int((start+ports.Add(1))%portCount)
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("looking for a free port of %s: %w", ip, err)
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("every port of %s from %d is taken", ip, firstPort)
}
