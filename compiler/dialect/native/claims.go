package native

import (
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) policyTest(spec *load.Node) {
	test := &mesh.Test{Origin: t.Origin}
	seen := map[string]source.Span{}
	for _, n := range items(spec, "cases") {
		t.unique(seen, n.Get("name"), "name")
		before := len(t.Diags)
		c := t.testCase(n)
		if len(t.Diags) == before { // half a case would judge another request
			test.Cases = append(test.Cases, c)
		}
	}
	t.out.Tests = []*mesh.Test{test}
}

func (t *translator) testCase(n *load.Node) mesh.TestCase {
	request := n.Get("request")
	c := mesh.TestCase{
		Name:   t.ruleName(n),
		Span:   t.at(n, "name"),
		Method: "GET",
		Path:   "/",
		Expect: t.expect(n.Get("expect")),
	}
	if request == nil {
		return c
	}
	c.From, c.FromAt = t.caller(request.Get("from")), t.at(request, "from")
	c.To, c.Port = t.callee(request.Get("to"))
	if m := text(request, "method"); m != "" {
		c.Method = m
	}
	if p := text(request, "path"); p != "" {
		c.Path = p
	}
	c.Headers = t.testHeaders(request)
	return c
}

// caller is "namespace/name" of a workload, "" for a caller without identity.
func (t *translator) caller(n *load.Node) string {
	if n == nil {
		return ""
	}
	t.unsupported(n, "address", "")
	switch which(n, "workload", "none") {
	case "workload":
		ref := t.ref(n, "workload")
		return ref.Namespace + "/" + ref.Name
	case "none":
		t.exclusive(n, "none", "namespace", "a caller without identity has no namespace")
	}
	return ""
}

func (t *translator) callee(n *load.Node) (mesh.Ref, uint32) {
	if n == nil {
		return mesh.Ref{}, 0
	}
	key := which(n, "service", "externalService", "host")
	ref := t.ref(n, key)
	if key == "host" {
		ref = mesh.Ref{Host: t.host(n, key), Namespace: t.Namespace, Span: t.at(n, key)}
		t.exclusive(n, "host", "namespace", "a host names the destination alone")
	}
	return ref, port(n, "port")
}

func (t *translator) testHeaders(n *load.Node) map[string]string {
	headers := n.Get("headers")
	if headers == nil {
		return nil
	}
	out := make(map[string]string, len(headers.Fields))
	for _, f := range headers.Fields {
		t.headerName(f.Key, f)
		out[f.Key] = text(headers, f.Key)
	}
	return out
}

func (t *translator) expect(n *load.Node) mesh.TestExpect {
	if n == nil {
		return mesh.TestExpect{}
	}
	for _, key := range []string{"action", "mirrors", "timeout", "attempts"} {
		t.unsupported(n, key, "")
	}
	e := mesh.TestExpect{
		Access:   text(n, "access"),
		Route:    text(n, "rule"),
		Status:   zero(number(n, "status")),
		Location: text(n, "location"),
		Span:     n.Span,
	}
	if up := n.Get("upstream"); up != nil {
		t.unsupported(up, "headers", "")
		e.Host = t.host(up, "host")
		e.Path = text(up, "path")
	}
	for _, d := range items(n, "destinations") {
		e.Destinations = append(e.Destinations, t.expectDestination(d))
	}
	return e
}

func (t *translator) expectDestination(n *load.Node) mesh.ExpectDestination {
	t.unsupported(n, "port", "")
	d := mesh.ExpectDestination{
		Service:    t.ref(n, "service"),
		Version:    text(n, "version"),
		AnyPercent: n.Get("percent") == nil,
		Span:       t.at(n, ""),
	}
	if !d.AnyPercent {
		d.Percent = percent(n, "percent")
	}
	return d
}

func (t *translator) invariant(spec *load.Node) {
	i := &mesh.Invariant{Origin: t.Origin}
	seen := map[string]source.Span{}
	i.Never = t.invariantRules(spec, "never", seen)
	i.Always = t.invariantRules(spec, "always", seen)
	t.out.Invariants = []*mesh.Invariant{i}
}

func (t *translator) invariantRules(spec *load.Node, key string, seen map[string]source.Span) []mesh.InvariantRule {
	var out []mesh.InvariantRule
	for _, n := range items(spec, key) {
		t.unique(seen, n.Get("name"), "name")
		out = append(out, t.invariantRule(n))
	}
	return out
}

func (t *translator) invariantRule(n *load.Node) mesh.InvariantRule {
	r := mesh.InvariantRule{Name: t.ruleName(n), Span: t.at(n, "name")}
	switch key := which(n, "access", "mtls"); key {
	case "access":
		r.Access = text(n, key)
	case "mtls":
		r.MTLS = mesh.MTLSMode(text(n, key))
		for _, side := range []string{"from", "except"} {
			if f := n.Field(side); f != nil {
				t.wrong(f.KeySpan, "%s has no meaning beside mtls, which is of the port: remove it", side)
			}
		}
	}
	if from := n.Get("from"); from != nil {
		r.From = []mesh.Source{t.source(from)}
	}
	if except := n.Get("except"); except != nil {
		t.unsupported(except, "to", "")
		if from := except.Get("from"); from != nil {
			t.notEverything(from, "anyone")
			r.ExceptFrom = []mesh.Source{t.source(from)}
		}
	}
	if to := n.Get("to"); to != nil {
		r.To = t.invariantTo(to)
	}
	return r
}

// invariantTo names a service, or with Name empty all of a namespace.
func (t *translator) invariantTo(n *load.Node) mesh.Ref {
	for _, key := range []string{"ports", "methods", "paths", "hosts", "headers"} {
		t.unsupported(n, key, "")
	}
	ref := t.ref(n, "service")
	if ref.Namespace == "" {
		t.wrong(n.Span, "namespace is required: a %s has none of its own", t.Kind)
	}
	return ref
}
