package compiler

import (
	"fmt"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"

	"github.com/mesh-compile/mesh-compile/compiler/authz"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// port makes the filters of an inbound port once, so that an unchanged port keeps
// the very same messages and its listener is not built again.
func (g *generated) port(w *check.Workload, in *check.Inbound) (xds.PortAccess, error) {
	return g.access.Get(in, func() (xds.PortAccess, error) { return portAccess(g.mesh.Settings(), w, in) })
}

// portAccess enforces in RBAC, or asks the agent where the workload's engine is
// OPA. Denials stay in RBAC as well: two must agree before a request passes.
func portAccess(s *check.Settings, w *check.Workload, in *check.Inbound) (xds.PortAccess, error) {
	rbac, err := authz.ForInbound(s, in)
	if err != nil {
		return xds.PortAccess{}, fmt.Errorf("access on port %d: %w", in.Port, err)
	}
	filters := []*rbacconfigv3.RBAC{rbac.Audit, rbac.Deny, rbac.Allow}
	if w.Engine == mesh.EngineOPA {
		filters[2] = nil // who may is OPA's to say
	}
	a := xds.PortAccess{ExtAuthz: w.Engine == mesh.EngineOPA}
	for _, f := range filters {
		switch {
		case f == nil:
		case in.Protocol.IsHTTP():
			a.HTTP = append(a.HTTP, &rbacv3.RBAC{Rules: f, RulesStatPrefix: statPrefix(f)})
		default:
			a.Network = append(a.Network, &networkrbacv3.RBAC{Rules: f, StatPrefix: statPrefix(f)})
		}
	}
	return a, nil
}

func statPrefix(f *rbacconfigv3.RBAC) string {
	switch f.Action {
	case rbacconfigv3.RBAC_DENY:
		return "deny_"
	case rbacconfigv3.RBAC_LOG:
		return "audit_"
	}
	return "allow_"
}
