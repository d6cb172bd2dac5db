package native

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) accessPolicy(spec *load.Node) {
	p := &mesh.AccessPolicy{Origin: t.Origin, Target: t.target(spec)}
	t.refuse(spec, "custom", "")
	t.refuse(spec, "rego", "write deny entries")
	seen := map[string]source.Span{}
	for _, list := range []struct {
		key    string
		action mesh.AccessAction
	}{{"allow", mesh.Allow}, {"deny", mesh.Deny}, {"audit", mesh.Audit}} {
		for _, n := range spec.ItemsOf(list.key) {
			t.unique(seen, n.Get("name"), "name")
			p.Rules = append(p.Rules, t.accessRule(n, list.action))
		}
	}
	t.out.AccessPolicies = []*mesh.AccessPolicy{p}
}

// target reads what access and authentication policies are about.
func (t *translator) target(spec *load.Node) mesh.Target {
	key := which(spec, "service", "workload", "gateway", "namespaceWide")
	target := mesh.Target{Span: t.At(spec, key)}
	switch key {
	case "service":
		ref := t.ref(spec, key)
		target.Service = &ref
	case "workload":
		target.Workload = spec.TextOf(key)
	case "gateway":
		t.refuse(spec, key, "")
	case "namespaceWide":
		target.NamespaceWide = spec.IsTrue(key)
	}
	return target
}

func (t *translator) accessRule(n *load.Node, action mesh.AccessAction) *mesh.AccessRule {
	name := t.ruleName(n)
	r := &mesh.AccessRule{
		ID: t.ID() + "/" + name, Name: name, Span: t.At(n, "name"),
		Action: action, ServicePorts: true,
	}
	t.bothSides(n, action)
	if from := n.Get("from"); from != nil {
		r.From = []mesh.Source{t.source(from)}
	}
	if to := n.Get("to"); to != nil {
		r.To = []mesh.Operation{t.operation(to)}
	}
	if except := n.Get("except"); except != nil {
		t.except(except, r)
	}
	t.expires(n, "expires", "break-glass rule \""+name+"\"")
	return r
}

// bothSides demands from and to of an allow entry: a side left out must not open
// anything.
func (t *translator) bothSides(n *load.Node, action mesh.AccessAction) {
	if action != mesh.Allow {
		return
	}
	for _, side := range []struct{ key, everything string }{{"from", "anyone"}, {"to", "anything"}} {
		if n.Get(side.key) == nil {
			d := t.Wrong(t.At(n, side.key), "allow entry %q has no %s", n.TextOf("name"), side.key)
			d.Fix = &diag.Fix{Message: "write " + side.key + ", or " + side.key + ": {" + side.everything + ": true} if you mean everything"}
		}
	}
}

func (t *translator) except(n *load.Node, r *mesh.AccessRule) {
	if from := n.Get("from"); from != nil {
		t.notEverything(from, "anyone")
		r.ExceptFrom = []mesh.Source{t.source(from)}
	}
	if to := n.Get("to"); to != nil {
		t.notEverything(to, "anything")
		r.ExceptTo = []mesh.Operation{t.operation(to)}
	}
}

func (t *translator) notEverything(n *load.Node, key string) {
	if f := n.Field(key); f != nil {
		t.Wrong(f.KeySpan, "except %s would take away the whole rule: remove the rule, or name what is excepted", key)
	}
}

func (t *translator) authenticationPolicy(spec *load.Node) {
	p := &mesh.PeerPolicy{Origin: t.Origin, Target: t.target(spec), Span: t.At(spec, "mtls")}
	t.refuse(spec, "jwt", "")
	mtls := spec.Get("mtls")
	if mtls == nil {
		return
	}
	p.Mode, p.Expires = t.mtls(mtls, "permissive mTLS")
	for _, n := range mtls.ItemsOf("ports") {
		mode, _ := t.mtls(n, "permissive mTLS of a port")
		if p.Ports == nil {
			p.Ports = map[uint32]mesh.MTLSMode{}
		}
		p.Ports[port(n, "port")] = mode
	}
	t.out.PeerPolicies = []*mesh.PeerPolicy{p}
}

// mtls reads a mode, and its end where it is permissive.
func (t *translator) mtls(n *load.Node, what string) (mesh.MTLSMode, time.Time) {
	mode := mesh.MTLSMode(n.TextOf("mode"))
	expires := t.expires(n, "expires", what)
	if mode == mesh.MTLSPermissive && n.Get("expires") == nil {
		d := t.Wrong(t.At(n, "mode"), "mode permissive has no expires: it takes plaintext from anyone and is for a migration only")
		d.Fix = &diag.Fix{Message: "write expires: with the day by which it must be strict"}
	}
	return mode, expires
}
