package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// portConflicts reports plain TCP ports that a captured workload's proxy cannot tell
// from another service's port of the same number: TCP names no host, and the addresses
// that cluster DNS answers with are no part of a release. The proxy of package xds
// knows such a port only where it is the one of its number.
func (c *checker) portConflicts() {
	told, asked := map[*Port]bool{}, map[**Service]bool{}
	for _, w := range c.full {
		// Workloads that say nothing of what they use share one list.
		if w == nil || w.Capture != mesh.CaptureRedirect || len(w.Uses) == 0 || asked[&w.Uses[0]] {
			continue
		}
		asked[&w.Uses[0]] = true
		numbers := byNumber(w.Uses)
		for _, s := range w.Uses {
			for _, p := range s.Ports {
				if isPlainTCP(p) && !told[p] {
					told[p] = c.portConflict(w, p, numbers[p.Number])
				}
			}
		}
	}
}

func isPlainTCP(p *Port) bool { return !p.Protocol.IsHTTP() && p.Protocol != mesh.TLS }

// byNumber are the ports of services, by number, in the order of the services.
func byNumber(services []*Service) map[uint32][]*Port {
	out := map[uint32][]*Port{}
	for _, s := range services {
		for _, p := range s.Ports {
			out[p.Number] = append(out[p.Number], p)
		}
	}
	return out
}

// portConflict reports p where one of the group is in its way, and whether one is.
// TLS is told by its server name, and takes no port away.
func (c *checker) portConflict(w *Workload, p *Port, group []*Port) bool {
	k := slices.IndexFunc(group, func(o *Port) bool { return o.Service != p.Service && o.Protocol != mesh.TLS })
	if k < 0 {
		return false
	}
	other := group[k]
	report(&c.diags, p.Service.Origin, diag.Diagnostic{
		Code: PortConflict, Severity: diag.Warning,
		Message: fmt.Sprintf("port %d of %s is plain TCP, and %s has that port as well: the proxy of %s captures connections and cannot tell whose they are, so that none reaches %[2]s through the mesh",
			p.Number, p.Service.Key(), other.Service.Key(), w.Key()),
		Fix: &diag.Fix{Message: "give one of them another port, or say in uses which of them each workload calls"},
	})
	return true
}
