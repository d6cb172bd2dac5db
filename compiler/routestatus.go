package compiler

import (
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/gatewayapi"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// conflicted is GEP-1294's reason for a route whose port another kind of route has.
// The module has no constant for it.
const conflicted gateway.RouteConditionReason = "Conflicted"

// RouteStatus says of each route of the Gateway API what becomes of it at each of its
// parents, in the specification's conditions: its errors by their reasons. Programmed
// is a condition of gateways alone.
func (r *Result) RouteStatus() []diag.RouteStatus {
	errors := map[string][]*diag.Diagnostic{}
	for i := range r.Diagnostics {
		if d := &r.Diagnostics[i]; d.Severity >= diag.Error && !d.Waived {
			errors[d.Object] = append(errors[d.Object], d)
		}
	}
	var out []diag.RouteStatus
	for _, f := range r.fragments {
		for _, route := range f.Routes {
			if route.Dialect != mesh.GatewayAPI {
				continue
			}
			for i := range route.Targets {
				out = append(out, statusAt(route, &route.Targets[i], errors[route.Object()]))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b diag.RouteStatus) int { return strings.Compare(a.Object, b.Object) })
	return out
}

func statusAt(route *mesh.Route, parent *mesh.RouteTarget, errors []*diag.Diagnostic) diag.RouteStatus {
	accepted := diag.Condition{Type: string(gateway.RouteConditionAccepted), Status: "True", Reason: string(gateway.RouteReasonAccepted)}
	resolved := diag.Condition{Type: string(gateway.RouteConditionResolvedRefs), Status: "True", Reason: string(gateway.RouteReasonResolvedRefs)}
	for _, d := range errors {
		atGateway := slices.ContainsFunc(route.Gateways, func(g mesh.GatewayRef) bool { return g.Span == d.Span })
		if at := parentOf(route, d); atGateway || at != nil && at != parent {
			continue // of another parent
		}
		c, reason := &accepted, reasonOf(route, d)
		switch reason {
		case gateway.RouteReasonBackendNotFound, gateway.RouteReasonRefNotPermitted, gateway.RouteReasonInvalidKind:
			c = &resolved
		}
		if c.Status == "True" { // the first error is the condition's
			c.Status, c.Reason, c.Message = "False", string(reason), d.Message
		}
	}
	return diag.RouteStatus{Object: route.Object(), Parent: parentName(parent), Conditions: []diag.Condition{accepted, resolved}}
}

// parentOf is the parent at which an error points, nil where it is about the route.
func parentOf(route *mesh.Route, d *diag.Diagnostic) *mesh.RouteTarget {
	for i := range route.Targets {
		if t := &route.Targets[i]; d.Span == t.Span || d.Span == t.PortAt {
			return t
		}
	}
	return nil
}

func reasonOf(route *mesh.Route, d *diag.Diagnostic) gateway.RouteConditionReason {
	switch parent := parentOf(route, d) != nil; {
	case d.Code == check.DuplicateHost:
		return conflicted
	case parent && (d.Code == check.UnknownDestination || d.Code == check.PortMismatch):
		return gateway.RouteReasonNoMatchingParent
	case d.Code == check.UnknownDestination, d.Code == check.PortMismatch:
		return gateway.RouteReasonBackendNotFound
	case d.Code == check.MissingGrant:
		return gateway.RouteReasonRefNotPermitted
	case d.Code == translate.CodeUnsupported && strings.HasPrefix(d.Message, gatewayapi.InvalidBackend):
		return gateway.RouteReasonInvalidKind
	}
	return gateway.RouteReasonUnsupportedValue
}

func parentName(t *mesh.RouteTarget) string {
	name := "Service " + t.Namespace + "/" + t.Name
	switch {
	case t.Port != 0:
		name += ":" + strconv.FormatUint(uint64(t.Port), 10)
	case t.PortName != "":
		name += "/" + t.PortName
	}
	return name
}
