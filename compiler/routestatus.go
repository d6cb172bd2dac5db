package compiler

import (
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// conflicted is GEP-1294's reason for a route whose port another kind of route has.
// The module has no constant for it.
const conflicted gateway.RouteConditionReason = "Conflicted"

// parent is one of a route's parents, with the places of its reference.
type parent struct {
	name string
	at   []source.Span
}

func (p *parent) has(d *diag.Diagnostic) bool { return slices.Contains(p.at, d.Span) }

// routeStatus says of each route of the Gateway API what becomes of it at each of its
// parents: its errors by their reasons. A gateway of another controller has its own say.
func (s *statuses) routeStatus() (out []diag.RouteStatus) {
	for _, f := range s.result.fragments {
		for _, route := range f.Routes {
			if route.Dialect == mesh.GatewayAPI {
				out = append(out, s.routeAt(route)...)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b diag.RouteStatus) int { return strings.Compare(a.Object, b.Object) })
	return out
}

func (s *statuses) routeAt(route *mesh.Route) (out []diag.RouteStatus) {
	parents := s.parentsOf(route)
	for i := range parents {
		accepted := holds(string(gateway.RouteConditionAccepted), string(gateway.RouteReasonAccepted))
		resolved := holds(string(gateway.RouteConditionResolvedRefs), string(gateway.RouteReasonResolvedRefs))
		for _, d := range s.errors[route.Object()] {
			at := slices.IndexFunc(parents, func(p parent) bool { return p.has(d) })
			if at >= 0 && at != i {
				continue // of another parent
			}
			switch reason := routeReason(d, at >= 0); reason {
			case gateway.RouteReasonBackendNotFound, gateway.RouteReasonRefNotPermitted, gateway.RouteReasonInvalidKind:
				fail(&resolved, string(reason), d.Message)
			default:
				fail(&accepted, string(reason), d.Message)
			}
		}
		out = append(out, diag.RouteStatus{Object: route.Object(), Parent: parents[i].name, Conditions: []diag.Condition{accepted, resolved}})
	}
	return out
}

func (s *statuses) parentsOf(route *mesh.Route) (out []parent) {
	for i := range route.Targets {
		t := &route.Targets[i]
		out = append(out, parent{serviceName(t), []source.Span{t.Span, t.PortAt}})
	}
	for _, ref := range route.Gateways {
		if !s.foreign[gatewayName(mesh.GatewayRef{Set: ref.Set, Namespace: ref.Namespace, Name: ref.Name})] {
			out = append(out, parent{gatewayName(ref), []source.Span{ref.Span}})
		}
	}
	return out
}

// routeReason is the reason that an error gives; atParent where it points at a parent.
func routeReason(d *diag.Diagnostic, atParent bool) gateway.RouteConditionReason {
	switch {
	case d.Reason != "":
		return gateway.RouteConditionReason(d.Reason)
	case d.Code == check.DuplicateHost:
		return conflicted
	case d.Code == check.GatewayRoutes:
		return gateway.RouteReasonNotAllowedByListeners
	case d.Code == check.GatewayHost:
		return gateway.RouteReasonNoMatchingListenerHostname
	case d.Code == check.UnknownGateway, atParent && (d.Code == check.UnknownDestination || d.Code == check.PortMismatch):
		return gateway.RouteReasonNoMatchingParent
	case d.Code == check.UnknownDestination, d.Code == check.PortMismatch:
		return gateway.RouteReasonBackendNotFound
	case d.Code == check.MissingGrant:
		return gateway.RouteReasonRefNotPermitted
	}
	return gateway.RouteReasonUnsupportedValue
}

func serviceName(t *mesh.RouteTarget) string {
	return parentName("Service "+t.Namespace+"/"+t.Name, t.PortName, t.Port)
}

func gatewayName(r mesh.GatewayRef) string {
	kind := "Gateway "
	if r.Set {
		kind = "ListenerSet "
	}
	return parentName(kind+r.Key(), r.Listener, r.Port)
}

func parentName(name, section string, port uint32) string {
	if section != "" {
		name += "/" + section
	}
	if port != 0 {
		name += ":" + strconv.FormatUint(uint64(port), 10)
	}
	return name
}
