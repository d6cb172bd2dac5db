package meshtest

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// Static makes a self-contained bootstrap of a leaf of a release, as it stands
// there, with routes inline and a certificate made up for it: for Envoy's own
// validation.
func Static(r *artifact.Release, l artifact.Leaf) (*bootstrapv3.Bootstrap, error) {
	id, err := spiffeid.FromString(l.SPIFFEID)
	if err != nil {
		return nil, fmt.Errorf("making a bootstrap of %s: %w", l.Workload, err)
	}
	ca, err := newAuthority(id.TrustDomain().Name())
	if err != nil {
		return nil, err
	}
	certificate, key, err := ca.issue(l.SPIFFEID)
	if err != nil {
		return nil, err
	}
	list := &xds.List{}
	for _, resource := range r.Resources(l) {
		list.Resources = append(list.Resources, xds.Resource{Type: resource.Type, Name: resource.Name, Bytes: resource.Bytes})
	}
	return xds.StaticBootstrap(xds.Slice{Listeners: list}, xds.StaticOptions{
		Certificate: certificate, Key: key, Roots: ca.roots(), Node: l.Workload, AgentPath: "/run/agent.sock",
	})
}
