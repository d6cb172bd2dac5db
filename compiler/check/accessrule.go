package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// inboundRule is an access rule at one inbound port.
type inboundRule struct {
	node   *node
	in     *Inbound
	policy *mesh.AccessPolicy
	rule   *mesh.AccessRule
}

// decide returns the rule as it is at the port, nil where it does not concern
// it. Ports are decided; on a port without requests nothing speaks of them.
func (at inboundRule) decide() *mesh.AccessRule {
	out := *at.rule
	out.To = at.onPort(out.To)
	if len(at.rule.To) > 0 && len(out.To) == 0 {
		return nil
	}
	out.ExceptTo = at.onPort(out.ExceptTo)
	if len(at.rule.ExceptTo) > 0 && len(out.ExceptTo) == 0 {
		out.ExceptFrom = nil // both must hold, and one never does here
	}
	if !at.in.Protocol.IsHTTP() && speaksHTTP(&out) {
		return at.withoutRequests(&out)
	}
	if sameOperations(out.To, at.rule.To) && sameOperations(out.ExceptTo, at.rule.ExceptTo) && len(out.ExceptFrom) == len(at.rule.ExceptFrom) {
		return at.rule
	}
	return &out
}

// onPort keeps the operations that exist at the port and clears their ports.
func (at inboundRule) onPort(ops []mesh.Operation) []mesh.Operation {
	if !slices.ContainsFunc(ops, func(o mesh.Operation) bool { return len(o.Ports)+len(o.NotPorts) > 0 }) {
		return ops
	}
	kept := make([]mesh.Operation, 0, len(ops))
	for _, o := range ops {
		if len(o.Ports) > 0 && !at.names(o.Ports) || at.names(o.NotPorts) {
			continue
		}
		o.Ports, o.NotPorts = nil, nil
		kept = append(kept, o)
	}
	return kept
}

// names reports whether a list of ports as the rule counts them has this one.
func (at inboundRule) names(ports []uint32) bool {
	if !at.rule.ServicePorts || len(at.in.Services) == 0 {
		return slices.Contains(ports, at.in.Port)
	}
	return slices.ContainsFunc(at.in.Services, func(p *Port) bool {
		if at.policy.Target.Service != nil && !isTarget(at.policy, p.Service) {
			return false
		}
		return slices.Contains(ports, p.Number)
	})
}

func sameOperations(a, b []mesh.Operation) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// speaksHTTP reports whether a rule says something about requests.
func speaksHTTP(r *mesh.AccessRule) bool {
	isHTTP := func(o mesh.Operation) bool { return o.IsHTTP() }
	return slices.ContainsFunc(r.To, isHTTP) || slices.ContainsFunc(r.ExceptTo, isHTTP) || slices.ContainsFunc(r.When, requestCondition)
}

func requestCondition(w mesh.Condition) bool { return strings.HasPrefix(w.Key, "request.") }

// withoutRequests turns a rule about requests into what it can mean for
// connections. Nothing is opened: an allow is dropped, a deny covers the whole
// port. In a native document that is an error where the author must have meant
// this port.
func (at inboundRule) withoutRequests(r *mesh.AccessRule) *mesh.AccessRule {
	native := at.policy.Dialect == mesh.Native
	switch {
	case r.Action == mesh.Deny && native:
		at.report(diag.Error, "denies requests, and there are only connections: name the ports that it is about")
	case r.Action == mesh.Deny:
		at.report(diag.Warning, "denies requests, and there are only connections: all of them are denied")
	case native && (at.named() || !at.mixed()):
		at.report(diag.Error, "is about requests, and there are only connections")
	case !native:
		at.report(diag.Warning, "is about requests, and there are only connections: it allows none of them")
	}
	if r.Action != mesh.Deny {
		return nil
	}
	r.To = widen(r.To)
	r.When = slices.DeleteFunc(slices.Clone(r.When), requestCondition)
	if slices.ContainsFunc(r.ExceptTo, func(o mesh.Operation) bool { return o.IsHTTP() }) {
		r.ExceptFrom, r.ExceptTo = nil, nil
	}
	return r
}

// widen drops what operations say about requests.
func widen(ops []mesh.Operation) []mesh.Operation {
	out := make([]mesh.Operation, len(ops))
	for i, o := range ops {
		out[i] = mesh.Operation{Ports: o.Ports, NotPorts: o.NotPorts, Span: o.Span}
	}
	return out
}

// named reports whether the rule names the port.
func (at inboundRule) named() bool {
	return slices.ContainsFunc(at.rule.To, func(o mesh.Operation) bool { return at.names(o.Ports) })
}

// mixed reports whether the services of the port have HTTP ports as well.
func (at inboundRule) mixed() bool {
	for _, s := range at.node.sites {
		if slices.ContainsFunc(s.ports, func(p mesh.ServicePort) bool { return p.Protocol.IsHTTP() }) {
			return true
		}
	}
	return false
}

func (at inboundRule) report(severity diag.Severity, what string) {
	report(&at.node.diags, at.policy.Origin, diag.Diagnostic{
		Code: HTTPOnly, Severity: severity, Span: at.rule.Span,
		Message: fmt.Sprintf("at port %d (%s) of workload %s this rule %s", at.in.Port, at.in.Protocol, at.node.key, what),
		Related: []diag.Related{{Span: at.node.doc.Span, Message: "the workload"}},
	})
}
