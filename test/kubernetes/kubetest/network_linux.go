package kubetest

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// setUpLoopback brings lo up and gives it pods' and services' addresses. The kernel takes the whole
// prefix of an address of lo for local, as it does with 127.0.0.0/8.
func setUpLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := up(socket, "lo"); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	for i, prefix := range []netip.Prefix{PodNetwork, ServiceNetwork} {
		if err := assign(socket, fmt.Sprintf("lo:%d", i+1), prefix); err != nil {
			return fmt.Errorf("giving %s to lo: %w", prefix, err)
		}
	}
	return nil
}

func up(socket int, device string) error {
	request, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// assign gives an alias of a device the first address of the prefix, and its mask.
func assign(socket int, alias string, prefix netip.Prefix) error {
	mask := make([]byte, 4)
	for i := range prefix.Bits() {
		mask[i/8] |= 1 << (7 - i%8)
	}
	for _, set := range []struct {
		what    uint
		address []byte
	}{
		{unix.SIOCSIFADDR, prefix.Addr().Next().AsSlice()},
		{unix.SIOCSIFNETMASK, mask},
	} {
		request, err := unix.NewIfreq(alias)
		if err != nil {
			return err
		}
		if err := request.SetInet4Addr(set.address); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(socket, set.what, request); err != nil {
			return err
		}
	}
	return nil
}
