package compiler

import (
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// GatewayAPIStatus says of each Gateway and route of the Gateway API what becomes of it,
// in the specification's conditions: its errors by their reasons.
func (r *Result) GatewayAPIStatus() diag.Status {
	s := &statuses{result: r, errors: map[string][]*diag.Diagnostic{}, foreign: r.foreignGateways(), accepted: map[string]bool{}}
	for i := range r.Diagnostics {
		if d := &r.Diagnostics[i]; d.Severity >= diag.Error && !d.Waived {
			s.errors[d.Object] = append(s.errors[d.Object], d)
		}
	}
	routes := s.routeStatus()
	for _, route := range routes {
		s.accepted[route.Object+" "+route.Parent] = route.Conditions[0].Status == isTrue
	}
	return diag.Status{Routes: routes, Gateways: s.gatewayStatus()}
}

// statuses is what conditions are told from.
type statuses struct {
	result   *Result
	errors   map[string][]*diag.Diagnostic // by object
	foreign  map[string]bool               // gateways of other controllers, by key
	accepted map[string]bool               // by "route parent"
}

// Statuses of conditions.
const (
	isTrue    = "True"
	isFalse   = "False"
	isUnknown = "Unknown"
)

// holds is a condition of which nothing wrong is known.
func holds(kind, reason string) diag.Condition {
	return diag.Condition{Type: kind, Status: isTrue, Reason: reason}
}

// fail makes a condition false; the first error is the condition's.
func fail(c *diag.Condition, reason, message string) {
	if c.Status == isTrue {
		c.Status, c.Reason, c.Message = isFalse, reason, message
	}
}

// foreignGateways are those whose GatewayClass is of another controller.
func (r *Result) foreignGateways() map[string]bool {
	classes, out := map[string]string{}, map[string]bool{}
	for _, f := range r.fragments {
		for _, c := range f.GatewayClasses {
			classes[c.Name] = c.Controller
		}
	}
	for _, f := range r.fragments {
		for _, g := range f.Gateways {
			if controller, known := classes[g.Class]; g.Dialect == mesh.GatewayAPI && known && controller != mesh.GatewayController {
				out[g.Key()] = true
			}
		}
	}
	return out
}

func (s *statuses) gatewayStatus() (out []diag.GatewayStatus) {
	for _, f := range s.result.fragments {
		for _, g := range f.Gateways {
			if g.Dialect == mesh.GatewayAPI && !s.foreign[g.Key()] {
				out = append(out, s.gateway(g))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b diag.GatewayStatus) int { return strings.Compare(a.Object, b.Object) })
	return out
}

// gateway judges the Gateway by its own errors and those of its listeners: nothing is
// built of one with an error, so that none of its listeners is programmed then.
func (s *statuses) gateway(g *mesh.Gateway) diag.GatewayStatus {
	accepted := holds(string(gateway.GatewayConditionAccepted), string(gateway.GatewayReasonAccepted))
	programmed := holds(string(gateway.GatewayConditionProgrammed), string(gateway.GatewayReasonProgrammed))
	own, at := s.byListener(g)
	for _, d := range own {
		switch d.Code {
		case check.UnknownGateway: // without its class it is nobody's
			pending := string(gateway.GatewayReasonPending)
			accepted.Status, accepted.Reason, accepted.Message = isUnknown, pending, d.Message
			programmed.Status, programmed.Reason, programmed.Message = isUnknown, pending, d.Message
		case check.SelectsNothing:
			fail(&programmed, string(gateway.GatewayReasonNoResources), d.Message)
		default:
			fail(&accepted, string(gateway.GatewayReasonInvalid), d.Message)
		}
	}
	var faulty []string
	for i, l := range g.Listeners {
		if len(at[i]) > 0 {
			faulty = append(faulty, l.Name)
		}
	}
	if len(faulty) > 0 {
		fail(&accepted, string(gateway.GatewayReasonListenersNotValid), "listeners with errors: "+strings.Join(faulty, ", "))
	}
	if accepted.Status == isFalse {
		fail(&programmed, string(gateway.GatewayReasonInvalid), accepted.Message)
	}
	out := diag.GatewayStatus{Object: g.Object(), Conditions: []diag.Condition{accepted, programmed}, Listeners: []diag.ListenerStatus{}}
	if accepted.Status == isUnknown {
		return out
	}
	for i, l := range g.Listeners {
		status := s.listener(g, l, at[i])
		if last := &status.Conditions[3]; programmed.Status != isTrue {
			fail(last, string(gateway.ListenerReasonPending), "the gateway is not programmed")
		}
		out.Listeners = append(out.Listeners, status)
	}
	return out
}

// listener has the conditions Accepted, Conflicted, ResolvedRefs and Programmed.
func (s *statuses) listener(g *mesh.Gateway, l *mesh.Listener, errors []*diag.Diagnostic) diag.ListenerStatus {
	accepted := holds(string(gateway.ListenerConditionAccepted), string(gateway.ListenerReasonAccepted))
	conflict := diag.Condition{Type: string(gateway.ListenerConditionConflicted), Status: isFalse, Reason: string(gateway.ListenerReasonNoConflicts)}
	resolved := holds(string(gateway.ListenerConditionResolvedRefs), string(gateway.ListenerReasonResolvedRefs))
	programmed := holds(string(gateway.ListenerConditionProgrammed), string(gateway.ListenerReasonProgrammed))
	for _, d := range errors {
		switch reason := listenerReason(d); reason {
		case gateway.ListenerReasonHostnameConflict, gateway.ListenerReasonProtocolConflict:
			conflict.Status, conflict.Reason, conflict.Message = isTrue, string(reason), d.Message
		case gateway.ListenerReasonInvalidCertificateRef, gateway.ListenerReasonInvalidRouteKinds, gateway.ListenerReasonRefNotPermitted:
			fail(&resolved, string(reason), d.Message)
		default:
			fail(&accepted, string(reason), d.Message)
		}
		fail(&programmed, string(gateway.ListenerReasonInvalid), d.Message)
	}
	out := diag.ListenerStatus{
		Name: l.Name, SupportedKinds: []diag.RouteKind{}, AttachedRoutes: s.attached(g, l),
		Conditions: []diag.Condition{accepted, conflict, resolved, programmed},
	}
	for _, kind := range l.RouteKinds {
		out.SupportedKinds = append(out.SupportedKinds, diag.RouteKind{Group: gateway.GroupName, Kind: kind})
	}
	return out
}

func listenerReason(d *diag.Diagnostic) gateway.ListenerConditionReason {
	switch {
	case d.Reason != "":
		return gateway.ListenerConditionReason(d.Reason)
	case d.Code == check.ReservedPort:
		return gateway.ListenerReasonPortUnavailable
	}
	return gateway.ListenerReasonUnsupportedValue
}

// attached counts the routes of a listener that are accepted there, also where the
// listener has errors (ListenerStatus.attachedRoutes).
func (s *statuses) attached(g *mesh.Gateway, l *mesh.Listener) (n int) {
	for _, route := range s.result.Mesh.Attached(g, l) {
		if slices.ContainsFunc(route.Gateways, func(ref mesh.GatewayRef) bool {
			return ref.Key() == g.Key() && ref.Names(l) && s.accepted[route.Object()+" "+gatewayName(ref)]
		}) {
			n++
		}
	}
	return n
}

// byListener tells a gateway's errors apart by the listeners that they are about. Of two
// that conflict the specification takes neither: the other is what the error is related to.
func (s *statuses) byListener(g *mesh.Gateway) (own []*diag.Diagnostic, at [][]*diag.Diagnostic) {
	at = make([][]*diag.Diagnostic, len(g.Listeners))
	for _, d := range s.errors[g.Object()] {
		found := false
		for i, l := range g.Listeners {
			conflicts := d.Code == check.ListenerConflict && slices.ContainsFunc(d.Related, func(r diag.Related) bool { return r.Span == l.PortAt })
			if d.Section != "" && d.Section == l.Name || conflicts {
				at[i], found = append(at[i], d), true
			}
		}
		if !found {
			own = append(own, d)
		}
	}
	return own, at
}
