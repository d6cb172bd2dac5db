package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// delegation puts the rules of delegates in the place of those that delegate to them
// (Istio, HTTPRoute.delegate; pilot/pkg/model/virtualservice.go). What Istio leaves out
// in silence is an error: requests would go where the root's author never sent them.
type delegation struct {
	found     *diag.List
	delegates map[string]*mesh.Route // by "namespace/name"
	used      map[string]bool
}

// delegate returns the fragments with whole routes: copies of those that delegate.
func (c *checker) delegate(fragments []*mesh.Fragment) []*mesh.Fragment {
	d := delegation{&c.now, map[string]*mesh.Route{}, map[string]bool{}}
	for _, f := range fragments {
		for _, r := range f.Routes {
			if r.Delegate {
				d.delegates[r.Namespace+"/"+r.Name] = r
			}
		}
	}
	var out []*mesh.Fragment
	for i, f := range fragments {
		if !slices.ContainsFunc(f.Routes, delegating) {
			continue
		}
		if out == nil {
			out = slices.Clone(fragments)
		}
		whole := *f
		whole.Routes = slices.Clone(f.Routes)
		for j, r := range whole.Routes {
			whole.Routes[j] = d.route(r)
		}
		out[i] = &whole
	}
	d.unused()
	if out == nil {
		return fragments
	}
	return out
}

func delegating(r *mesh.Route) bool {
	return slices.ContainsFunc(r.Rules, func(rule *mesh.Rule) bool { return rule.DelegateTo != nil })
}

// unused warns of delegates that nobody names.
func (d *delegation) unused() {
	for _, key := range slices.Sorted(maps.Keys(d.delegates)) {
		if !d.used[key] {
			report(d.found, d.delegates[key].Origin, diag.Diagnostic{
				Code: SelectsNothing, Severity: diag.Warning,
				Message: "the VirtualService has no hosts, and no other delegates to it: it has no effect",
				Fix:     &diag.Fix{Message: "write hosts: [the-service], or delegate to it"},
			})
		}
	}
}

// route is a route with the rules of its delegates.
func (d *delegation) route(root *mesh.Route) *mesh.Route {
	if root.Delegate {
		for _, rule := range root.Rules {
			if rule.DelegateTo != nil {
				d.wrong(root, rule.DelegateTo, Unsupported, "a delegate cannot delegate again", "delegate from the VirtualService that has the hosts")
			}
		}
	}
	out := *root
	out.Rules = nil
	for _, rule := range root.Rules {
		switch {
		case rule.DelegateTo == nil:
			one := *rule
			out.Rules = append(out.Rules, &one)
		case !root.Delegate:
			out.Rules = append(out.Rules, d.rules(root, rule)...)
		}
	}
	out.Identify()
	return &out
}

func (d *delegation) wrong(root *mesh.Route, at *mesh.Ref, code diag.Code, message, fix string) *diag.Diagnostic {
	return report(d.found, root.Origin, diag.Diagnostic{
		Code: code, Severity: diag.Error, Span: at.Span, Message: message, Fix: &diag.Fix{Message: fix},
	})
}

// rules are those of the delegate, within what the rule matches.
func (d *delegation) rules(root *mesh.Route, rule *mesh.Rule) (out []*mesh.Rule) {
	key := rule.DelegateTo.Namespace + "/" + rule.DelegateTo.Name
	to := d.delegates[key]
	if to == nil {
		d.wrong(root, rule.DelegateTo, UnknownDestination, fmt.Sprintf("no VirtualService %s without hosts, which could be a delegate", key),
			"write the delegate's name and namespace")
		return nil
	}
	d.used[key] = true
	if seen := clients(to); seen != nil && !slices.Contains(seen, root.Namespace) {
		found := d.wrong(root, rule.DelegateTo, MissingGrant, fmt.Sprintf("VirtualService %s is not exported to namespace %s", key, root.Namespace),
			"ask the owner of the delegate to add the namespace to its exportTo")
		found.Related = []diag.Related{{Span: to.Span, Message: "the delegate"}}
		return nil
	}
	for _, r := range to.Rules {
		if r.DelegateTo != nil {
			continue // said of the delegate
		}
		one, ok := d.rule(root, rule, r, to)
		if ok {
			out = append(out, one)
		}
	}
	return out
}

// rule is one rule of a delegate; what it leaves open is as the root says.
func (d *delegation) rule(root *mesh.Route, rule, leaf *mesh.Rule, to *mesh.Route) (*mesh.Rule, bool) {
	out := *leaf
	out.Name = rule.Name + "-" + leaf.Name
	out.To, out.Mirrors = slices.Clone(leaf.To), slices.Clone(leaf.Mirrors)
	for i := range out.To {
		out.To[i].Service = at(out.To[i].Service, to.Namespace)
	}
	for i := range out.Mirrors {
		out.Mirrors[i].Service = at(out.Mirrors[i].Service, to.Namespace)
	}
	if out.RequestHeaders == nil && out.ResponseHeaders == nil {
		out.RequestHeaders, out.ResponseHeaders = rule.RequestHeaders, rule.ResponseHeaders
	}
	out.CORS, out.Fault = cmp.Or(leaf.CORS, rule.CORS), cmp.Or(leaf.Fault, rule.Fault)
	if out.Redirect == nil && out.Respond == nil {
		out.Rewrite, out.Timeout, out.Retry = cmp.Or(leaf.Rewrite, rule.Rewrite), cmp.Or(leaf.Timeout, rule.Timeout), cmp.Or(leaf.Retry, rule.Retry)
		if out.Mirrors == nil {
			out.Mirrors = rule.Mirrors
		}
	}
	var why *mesh.Match
	out.Matches, why = within(rule.Matches, leaf.Matches)
	if why != nil {
		found := d.wrong(root, rule.DelegateTo, Unsupported, fmt.Sprintf("rule %q of the delegate matches what this rule does not", leaf.Name),
			"let the delegate match a part of what the rule matches: exact or prefix within a prefix, no regex where both match, and no callers or gateways")
		found.Related = []diag.Related{{Span: cmp.Or(why.Span, leaf.Span), Message: "the delegate's match"}}
	}
	return &out, why == nil
}

// at is a name that was written in another namespace.
func at(ref *mesh.Ref, namespace string) *mesh.Ref {
	if ref == nil || ref.Host == "" || strings.Contains(ref.Host, ".") {
		return ref
	}
	return &mesh.Ref{Name: ref.Host, Namespace: namespace, Span: ref.Span}
}

// within joins each match of a delegate with those of the root in which it lies; wrong
// is one that lies in none.
func within(roots, leaves []mesh.Match) (out []mesh.Match, wrong *mesh.Match) {
	for i := range leaves {
		if leaf := &leaves[i]; len(leaf.From)+len(leaf.At) > 0 {
			return nil, leaf // callers are for the root to choose
		}
	}
	if len(leaves) == 0 || len(roots) == 0 {
		return append(slices.Clone(roots), leaves...), nil
	}
	for i := range leaves {
		before := len(out)
		for j := range roots {
			if m, ok := join(&roots[j], &leaves[i]); ok {
				out = append(out, m)
			}
		}
		if len(out) == before {
			return nil, &leaves[i]
		}
	}
	return out, nil
}

// join is a match of the delegate that demands what the root demands, too.
func join(root, leaf *mesh.Match) (m mesh.Match, ok bool) {
	m = *leaf
	fits := [...]bool{
		fill(&m.Path, root.Path), fill(&m.Scheme, root.Scheme), fill(&m.Authority, root.Authority),
		len(root.Methods) == 0 || len(leaf.Methods) == 0 || narrower(&root.Methods[0], &leaf.Methods[0]),
		len(root.Ports) == 0 || len(leaf.Ports) == 0 || slices.Equal(root.Ports, leaf.Ports),
	}
	if len(m.Methods) == 0 {
		m.Methods = root.Methods
	}
	if len(m.Ports) == 0 {
		m.Ports = root.Ports
	}
	m.Headers, m.Query = slices.Concat(root.Headers, leaf.Headers), slices.Concat(root.Query, leaf.Query)
	m.From, m.At, m.StatPrefix = root.From, root.At, cmp.Or(leaf.StatPrefix, root.StatPrefix)
	return m, !slices.Contains(fits[:], false)
}

// fill takes over what the delegate leaves open; false where it asks for more.
func fill(leaf **mesh.StringMatch, root *mesh.StringMatch) bool {
	if *leaf == nil {
		*leaf = root
		return true
	}
	return root == nil || narrower(root, *leaf)
}

// narrower reports whether what one match takes the root's takes as well
// (stringMatchConflict of Istio, which compares no regex).
func narrower(root, leaf *mesh.StringMatch) bool {
	if root.Kind == mesh.Regex || leaf.Kind == mesh.Regex || root.IgnoreCase != leaf.IgnoreCase {
		return false
	}
	if root.Kind == mesh.Exact {
		return leaf.Kind == mesh.Exact && leaf.Value == root.Value
	}
	return strings.HasPrefix(leaf.Value, root.Value)
}
