package kubernetes

import (
	"net/netip"
	"slices"

	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// known reports whether everything that a cluster's endpoints hang on has come.
func (f *facts) known(w *wanted) bool {
	if !f.has.slices || !f.has.nodes {
		return false
	}
	if len(w.Selector) == 0 {
		return true
	}
	for k := range w.Selector {
		if _, read := slices.BinarySearch(f.keys, k); !read {
			return false
		}
	}
	return f.has.pods
}

// join returns the endpoints of a cluster. An address may be in several slices at
// a time, as it moves between them, and a pod of a service of two families has an
// address in each: it is one endpoint, by IPv4 where it has that.
func (f *facts) join(w *wanted) []endpoints.Endpoint {
	found := map[netip.AddrPort]endpoint{}
	families := map[podID]bool{} // pods with an IPv4 address
	for _, four := range []bool{true, false} {
		for _, s := range f.services[w.service] {
			number, ok := w.number(s.ports)
			if !ok {
				continue
			}
			for _, e := range s.endpoints {
				if e.address.Is4() != four || !four && families[e.pod] || !f.selected(w, e.pod) {
					continue
				}
				if e.pod != 0 && four {
					families[e.pod] = true
				}
				at := netip.AddrPortFrom(e.address, uint16(number))
				if found[at].state < e.state {
					found[at] = e
				}
			}
		}
	}
	return f.settle(found)
}

// number is where the slice's pods listen for the cluster's port: under the name
// that the service gives it, or where nothing has that name, because the service
// was changed and the policies were not yet, at the number.
func (w *wanted) number(ports []port) (uint32, bool) {
	for _, p := range ports {
		if p.name == w.port {
			return p.number, true
		}
	}
	for _, p := range ports {
		if slices.Contains(w.Targets, p.number) {
			return p.number, true
		}
	}
	return 0, false
}

// selected reports whether a pod is of the cluster's version. One that is not known
// yet is not, and the service is computed again when it is.
func (f *facts) selected(w *wanted, pod podID) bool {
	if len(w.Selector) == 0 {
		return true
	}
	if pod == 0 {
		return false // an address that is no pod's has no labels
	}
	labels, ok := f.pods[pod]
	if !ok {
		if f.waiting[pod] == nil {
			f.waiting[pod] = map[text]bool{}
		}
		f.waiting[pod][w.service] = true
		return false
	}
	return carries(labels, w.Selector)
}

// drainingShare is how many endpoints may be draining for each that is ready.
// Envoy counts draining hosts as unhealthy, and below half of healthy ones it
// panics (healthy_panic_threshold) and uses all of them, those that drain too.
const drainingShare = 3

// settle says what is told of endpoints that end. They are told of, so that
// sessions stay with them, as long as they are few. Where nothing is ready, those
// that still serve are what there is, as kube-proxy has it (KEP-1669).
func (f *facts) settle(found map[netip.AddrPort]endpoint) []endpoints.Endpoint {
	isReady := 0
	for _, e := range found {
		if e.state == ready {
			isReady++
		}
	}
	ending := len(found) - isReady
	out := make([]endpoints.Endpoint, 0, len(found))
	for at, e := range found {
		if e.state == draining && isReady > 0 && ending*drainingShare > isReady {
			continue
		}
		out = append(out, endpoints.Endpoint{
			Address: e.address, Port: uint32(at.Port()), Locality: f.locality(e.zone), Near: e.near.Value(),
			Draining: e.state == draining && isReady > 0,
		})
	}
	return out
}
