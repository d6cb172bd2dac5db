package compiler

import (
	"cmp"
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
	foreign  map[string]bool               // gateways of other controllers, by object
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

// foreignGateways are those whose GatewayClass is of another controller, and the
// ListenerSets of these, by object.
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
				out[g.Object()] = true
			}
		}
	}
	for _, f := range r.fragments {
		for _, set := range f.ListenerSets {
			if out[gatewayName(set.Gateway)] {
				out[set.Object()] = true
			}
		}
	}
	return out
}

// gatewayStatus is that of Gateways, and then of ListenerSets, which hang on theirs.
func (s *statuses) gatewayStatus() []diag.GatewayStatus {
	var gateways, sets []diag.GatewayStatus
	at := map[string]*mesh.Gateway{}
	for _, f := range s.result.fragments {
		for _, g := range f.Gateways {
			if g.Dialect == mesh.GatewayAPI && !s.foreign[g.Object()] {
				gateways, at[g.Object()] = append(gateways, s.gateway(g)), g
			}
		}
	}
	slices.SortStableFunc(gateways, byObject)
	for _, f := range s.result.fragments {
		for _, set := range f.ListenerSets {
			if s.foreign[set.Object()] {
				continue
			}
			parent := slices.IndexFunc(gateways, func(g diag.GatewayStatus) bool { return g.Object == gatewayName(set.Gateway) })
			status := diag.GatewayStatus{}
			if parent >= 0 {
				status = s.listenerSet(set, at[gateways[parent].Object], &gateways[parent])
			} else {
				status = s.listenerSet(set, nil, nil)
			}
			sets = append(sets, status)
		}
	}
	slices.SortStableFunc(sets, byObject)
	return append(gateways, sets...)
}

func byObject(a, b diag.GatewayStatus) int { return strings.Compare(a.Object, b.Object) }

// gateway judges the Gateway by its own errors and those of its listeners: nothing is
// built of one with an error, so that none of its listeners is programmed then.
func (s *statuses) gateway(g *mesh.Gateway) diag.GatewayStatus {
	p := s.judge(g.Object(), g.Listeners)
	p.finish(string(gateway.GatewayReasonInvalid))
	return s.withListeners(p, g, g.Listeners)
}

// listenerSet judges a ListenerSet as a Gateway, and by its Gateway. One that is
// accepted counts there.
func (s *statuses) listenerSet(set *mesh.ListenerSet, g *mesh.Gateway, of *diag.GatewayStatus) diag.GatewayStatus {
	p := s.judge(set.Object(), set.Listeners)
	if of != nil {
		if accepted := of.Conditions[0]; accepted.Status == isFalse {
			fail(&p.accepted, "ParentNotAccepted", accepted.Message)
		}
		if p.accepted.Status == isTrue {
			of.AttachedListenerSets++
		}
		if programmed := of.Conditions[1]; programmed.Status != isTrue && p.accepted.Status == isTrue {
			fail(&p.programmed, "ParentNotProgrammed", programmed.Message)
		}
	}
	p.finish(string(gateway.ListenerSetReasonInvalid))
	return s.withListeners(p, g, set.Listeners)
}

// judged is what is known of a Gateway or ListenerSet.
type judged struct {
	object               string
	accepted, programmed diag.Condition
	at                   [][]*diag.Diagnostic // errors of the listeners
}

func (s *statuses) judge(object string, listeners []*mesh.Listener) *judged {
	p := &judged{
		object:     object,
		accepted:   holds(string(gateway.GatewayConditionAccepted), string(gateway.GatewayReasonAccepted)),
		programmed: holds(string(gateway.GatewayConditionProgrammed), string(gateway.GatewayReasonProgrammed)),
	}
	var own []*diag.Diagnostic
	own, p.at = s.byListener(object, listeners)
	for _, d := range own {
		switch d.Code {
		case check.UnknownGateway: // without its class, or its gateway, it is nobody's
			pending := string(gateway.GatewayReasonPending)
			p.accepted.Status, p.accepted.Reason, p.accepted.Message = isUnknown, pending, d.Message
			p.programmed.Status, p.programmed.Reason, p.programmed.Message = isUnknown, pending, d.Message
		case check.SelectsNothing:
			fail(&p.programmed, string(gateway.GatewayReasonNoResources), d.Message)
		default:
			fail(&p.accepted, cmp.Or(d.Reason, string(gateway.GatewayReasonInvalid)), d.Message)
		}
	}
	var faulty []string
	for i, l := range listeners {
		if len(p.at[i]) > 0 {
			faulty = append(faulty, l.Name)
		}
	}
	if len(faulty) > 0 {
		fail(&p.accepted, string(gateway.GatewayReasonListenersNotValid), "listeners with errors: "+strings.Join(faulty, ", "))
	}
	return p
}

// finish has what is not accepted not be programmed.
func (p *judged) finish(reason string) {
	if p.accepted.Status == isFalse {
		fail(&p.programmed, reason, p.accepted.Message)
	}
}

func (s *statuses) withListeners(p *judged, g *mesh.Gateway, listeners []*mesh.Listener) diag.GatewayStatus {
	out := diag.GatewayStatus{Object: p.object, Conditions: []diag.Condition{p.accepted, p.programmed}, Listeners: []diag.ListenerStatus{}}
	if p.accepted.Status == isUnknown {
		return out
	}
	for i, l := range listeners {
		status := s.listener(g, l, p.at[i])
		if p.programmed.Status != isTrue {
			fail(&status.Conditions[3], string(gateway.ListenerReasonPending), "nothing of its object is programmed")
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
	if g == nil {
		return 0
	}
	for _, route := range s.result.Mesh.Attached(g, l) {
		if slices.ContainsFunc(route.Gateways, func(ref mesh.GatewayRef) bool {
			return (ref.Set || ref.Key() == g.Key()) && ref.Names(l) && s.accepted[route.Object()+" "+gatewayName(ref)]
		}) {
			n++
		}
	}
	return n
}

// byListener tells an object's errors apart by the listeners that they are about. Of two
// that conflict the specification takes neither: the other is what the error is related to.
func (s *statuses) byListener(object string, listeners []*mesh.Listener) (own []*diag.Diagnostic, at [][]*diag.Diagnostic) {
	at = make([][]*diag.Diagnostic, len(listeners))
	for _, d := range s.errors[object] {
		found := false
		for i, l := range listeners {
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
