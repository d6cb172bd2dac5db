package istio

import (
	"slices"
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// accessActions by Istio's names.
var accessActions = map[string]mesh.AccessAction{"": mesh.Allow, "ALLOW": mesh.Allow, "DENY": mesh.Deny, "AUDIT": mesh.Audit}

func (t *translator) authorizationPolicy(spec *load.Node) {
	target := t.target(spec)
	if !t.enforced(spec) {
		return
	}
	p := &mesh.AccessPolicy{Origin: t.Origin, Target: target}
	action := accessActions[spec.TextOf("action")]
	rules := spec.ItemsOf("rules")
	switch {
	case len(rules) > 0:
	case action == mesh.Allow: // selects workloads, which closes them, and opens nothing
		p.AllowsNothing = true
	case action == mesh.Deny:
		d := t.Wrong(t.At(spec, "rules"), "a DENY policy without rules denies nothing")
		d.SetFix("write rules: [{}] to deny everything")
	default:
		t.Warn(t.At(spec, "rules"), "an AUDIT policy without rules logs nothing")
	}
	for i, n := range rules {
		p.Rules = append(p.Rules, t.accessRule(n, "#"+strconv.Itoa(i+1), action))
	}
	t.out.AccessPolicies = []*mesh.AccessPolicy{p}
}

// enforced reports whether the policy is one that we can enforce on what it
// selects. What we cannot is never turned into something wider or narrower.
func (t *translator) enforced(spec *load.Node) bool {
	ok := len(spec.ItemsOf("targetRefs")) == 0 && spec.Get("targetRef") == nil // the shape refuses them
	provider := spec.Field("provider")
	switch {
	case spec.TextOf("action") == "CUSTOM":
		d := t.Unsupported(t.At(spec, "action"), "action CUSTOM asks an external authorizer, which is not supported yet")
		d.SetFix("write ALLOW or DENY rules")
		ok = false
	case provider != nil:
		t.Wrong(provider.KeySpan, "provider has no meaning without action CUSTOM")
	}
	dryRun := t.Doc.Root.At("metadata", "annotations", "istio.io/dry-run")
	if dryRun != nil && dryRun.Text == "true" {
		d := t.Unsupported(dryRun.Span, "the annotation istio.io/dry-run is not supported: the policy would be enforced")
		d.SetFix("write action: AUDIT, which logs what it matches, or remove the annotation")
		ok = false
	}
	return ok
}

func (t *translator) accessRule(n *load.Node, name string, action mesh.AccessAction) *mesh.AccessRule {
	r := &mesh.AccessRule{ID: t.ID() + "/" + name, Name: name, Span: n.Span, Action: action}
	for _, key := range []string{"from", "to"} {
		if v := n.Get(key); v != nil && v.Kind == load.List && len(v.Items) == 0 {
			t.Wrong(v.Span, "%s is an empty list: leave it out for everything", key)
		}
	}
	for _, item := range n.ItemsOf("from") {
		if s := t.inside(item, "source"); s != nil {
			r.From = append(r.From, t.sources(s)...)
		}
	}
	for _, item := range n.ItemsOf("to") {
		if o := t.inside(item, "operation"); o != nil {
			r.To = append(r.To, t.operation(o))
		}
	}
	for _, item := range n.ItemsOf("when") {
		t.condition(item, r)
	}
	return r
}

// inside returns the source or operation of an entry, which must say something:
// an empty one would be everything.
func (t *translator) inside(item *load.Node, key string) *load.Node {
	n := item.Get(key)
	said := func(f load.Field) bool { return f.Value.Kind != load.List || len(f.Value.Items) > 0 }
	switch {
	case n == nil:
		t.Wrong(item.Span, "the entry has no %s", key)
		return nil
	case !slices.ContainsFunc(n.Fields, said):
		t.Wrong(n.Span, "the %s is empty: leave the entry out for everything", key)
	}
	return n
}

// operation reads what is asked for. Ports are those that the workload listens on.
func (t *translator) operation(n *load.Node) mesh.Operation {
	return mesh.Operation{
		Hosts: t.patterns(n, "hosts"), NotHosts: t.patterns(n, "notHosts"),
		Ports: t.ports(n, "ports"), NotPorts: t.ports(n, "notPorts"),
		Methods: t.methods(n, "methods"), NotMethods: t.methods(n, "notMethods"),
		Paths: t.paths(n, "paths"), NotPaths: t.paths(n, "notPaths"),
		Span: n.Span,
	}
}

// ports are written as strings.
func (t *translator) ports(n *load.Node, key string) []uint32 {
	var out []uint32
	for _, v := range n.TextsOf(key) {
		port, err := strconv.ParseUint(v.Text, 10, 16)
		if err != nil || port == 0 {
			t.Wrong(v.Span, "%s %q: want 1 to 65535", key, v.Text)
			continue
		}
		out = append(out, uint32(port))
	}
	return out
}

// methods are case-sensitive (RFC 9110, 9.1): "delete" denies no DELETE.
func (t *translator) methods(n *load.Node, key string) []mesh.StringMatch {
	out := t.patterns(n, key)
	for i := range out {
		if hasLower(out[i].Value) {
			t.methodNeverSent(key, out[i].Value, out[i].Span)
		}
	}
	return out
}

func (t *translator) methodNeverSent(key, value string, at source.Span) {
	d := t.Wrong(at, "%s %q: methods are case-sensitive, and no client sends this one", key, value)
	d.SetFix("write it in upper case")
}
