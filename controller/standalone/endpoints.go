package standalone

import (
	"cmp"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// targets returns the endpoints that the policies write, by the name of each
// cluster whose endpoints Envoy asks for. A cluster without any is there, empty:
// Envoy waits for an answer before it uses a cluster.
func targets(m *check.Mesh) map[string][]endpoints.Target {
	out := map[string][]endpoints.Target{}
	for _, s := range m.Services() {
		for _, p := range s.Ports {
			for _, b := range p.Backends {
				if b.TLS == check.TLSMesh && !b.DNS {
					out[xds.ClusterName(b)] = backendTargets(b)
				}
			}
		}
	}
	return out
}

func backendTargets(b *check.Backend) []endpoints.Target {
	out := []endpoints.Target{}
	for _, w := range b.Workloads {
		port, ok := targetPort(w, b.Port)
		if !ok {
			continue
		}
		for _, e := range w.Endpoints {
			if t, ok := target(w, e, b.Port, port); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

// targetPort is where the workload listens for a port of a service.
func targetPort(w *check.Workload, p *check.Port) (uint32, bool) {
	for _, in := range w.Inbound {
		for _, s := range in.Services {
			if s.Service.Key() == p.Service.Key() && s.Number == p.Number {
				return in.Port, true
			}
		}
	}
	return 0, false
}

// target returns an endpoint at a port. One that is written with another port is
// the endpoint of a service of one port, and of no port of a larger one.
func target(w *check.Workload, e mesh.Endpoint, p *check.Port, port uint32) (endpoints.Target, bool) {
	if e.Port != 0 && e.Port != port {
		if len(p.Service.Ports) > 1 {
			return endpoints.Target{}, false
		}
		port = e.Port
	}
	return endpoints.Target{
		Host: e.Address, Port: port, Locality: cmp.Or(e.Locality, w.Locality), Weight: e.Weight,
	}, true
}
