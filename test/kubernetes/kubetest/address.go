package kubetest

import (
	"net/netip"
	"sync/atomic"
)

// Addresses that are local in the namespace. An EndpointSlice refuses loopback addresses, so pods
// have those of a usual pod network.
var (
	PodNetwork     = netip.MustParsePrefix("10.244.0.0/16")
	ServiceNetwork = netip.MustParsePrefix("10.0.0.0/16")
)

var lastPod atomic.Uint32

// PodIP returns an address of the pod network that nothing else in this test binary has.
func PodIP() string {
	n := 256 + lastPod.Add(1) // 10.244.1.1 is the first
	if n%256 == 0 || n%256 == 255 {
		return PodIP()
	}
	b := PodNetwork.Addr().As4()
	b[2], b[3] = byte(n>>8), byte(n)
	return netip.AddrFrom4(b).String()
}
