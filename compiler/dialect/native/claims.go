package native

import (
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) policyTest(spec *load.Node) {
	test := &mesh.Test{Origin: t.Origin}
	seen := map[string]source.Span{}
	for _, n := range spec.ItemsOf("cases") {
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
		Span:   t.At(n, "name"),
		Method: "GET",
		Path:   "/",
		Expect: t.expect(n.Get("expect")),
	}
	if request == nil {
		return c
	}
	c.From, c.FromAt = t.caller(request.Get("from")), t.At(request, "from")
	t.arrival(request, &c)
	if m := request.TextOf("method"); m != "" {
		c.Method = m
	}
	if p := request.TextOf("path"); p != "" {
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
	t.refuse(n, "address", "")
	switch which(n, "workload", "none") {
	case "workload":
		ref := t.ref(n, "workload")
		return ref.Namespace + "/" + ref.Name
	case "none":
		t.Exclusive(n, "none", "namespace", "a caller without identity has no namespace")
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
		ref = mesh.Ref{Host: t.host(n, key), Namespace: t.Namespace, Span: t.At(n, key)}
		t.Exclusive(n, "host", "namespace", "a host names the destination alone")
	}
	return ref, port(n, "port")
}

// arrival reads what is called: something of the mesh, or a host at a gateway.
func (t *translator) arrival(request *load.Node, c *mesh.TestCase) {
	to := request.Get("to")
	if to.Get("gateway") == nil {
		c.To, c.Port = t.callee(to)
		for _, key := range []string{"host", "sni", "clientCertificate"} {
			if f := request.Field(key); f != nil {
				t.Wrong(f.KeySpan, "%s is for requests at a gateway: write to: {gateway: ...}", key)
			}
		}
		return
	}
	ref := t.ref(to, "gateway")
	c.Gateway, c.GatewayAt, c.Port = ref.Namespace+"/"+ref.Name, ref.Span, port(to, "port")
	c.Host, c.SNI = t.host(request, "host"), t.host(request, "sni")
	c.ClientCertificate = request.IsTrue("clientCertificate")
	if c.From != "" {
		t.Wrong(c.FromAt, "a request arrives at a gateway from outside the mesh: write from: {none: true}")
	}
}

func (t *translator) testHeaders(n *load.Node) map[string]string {
	headers := n.Get("headers")
	if headers == nil {
		return nil
	}
	out := make(map[string]string, len(headers.Fields))
	for _, f := range headers.Fields {
		t.headerName(f.Key, f)
		out[f.Key] = headers.TextOf(f.Key)
	}
	return out
}

func (t *translator) expect(n *load.Node) mesh.TestExpect {
	if n == nil {
		return mesh.TestExpect{}
	}
	e := mesh.TestExpect{
		Access:       n.TextOf("access"),
		Action:       n.TextOf("action"),
		Route:        n.TextOf("rule"),
		Status:       zero(number(n, "status")),
		Location:     n.TextOf("location"),
		Destinations: t.expectDestinations(n, "destinations"),
		Mirrors:      t.expectDestinations(n, "mirrors"),
		Timeout:      t.Duration(n, "timeout", 0),
		Attempts:     number(n, "attempts"),
		Span:         n.Span,
	}
	if up := n.Get("upstream"); up != nil {
		e.Host = t.host(up, "host")
		e.Path = up.TextOf("path")
		e.Headers = t.testHeaders(up)
	}
	return e
}

func (t *translator) expectDestinations(n *load.Node, key string) (out []mesh.ExpectDestination) {
	for _, d := range n.ItemsOf(key) {
		out = append(out, t.expectDestination(d))
	}
	return out
}

func (t *translator) expectDestination(n *load.Node) mesh.ExpectDestination {
	d := mesh.ExpectDestination{
		Service:    t.ref(n, "service"),
		Version:    n.TextOf("version"),
		Port:       port(n, "port"),
		AnyPercent: n.Get("percent") == nil,
		Span:       t.At(n, ""),
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
	for _, n := range spec.ItemsOf(key) {
		t.unique(seen, n.Get("name"), "name")
		before := len(t.Diags)
		r := t.invariantRule(n)
		if len(t.Diags) == before { // half a rule would hold something else
			out = append(out, r)
		}
	}
	return out
}

func (t *translator) invariantRule(n *load.Node) mesh.InvariantRule {
	r := mesh.InvariantRule{Name: t.ruleName(n), Span: t.At(n, "name")}
	switch key := which(n, "access", "mtls"); key {
	case "access":
		r.Access = n.TextOf(key)
	case "mtls":
		r.MTLS = mesh.MTLSMode(n.TextOf(key))
		for _, side := range []string{"from", "except"} {
			if f := n.Field(side); f != nil {
				t.Wrong(f.KeySpan, "%s has no meaning beside mtls, which is of the port: remove it", side)
			}
		}
	}
	if from := n.Get("from"); from != nil {
		r.From = []mesh.Source{t.source(from)}
	}
	if except := n.Get("except"); except != nil {
		t.refuse(except, "to", "")
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

// invariantTo names a service, or with Name empty all of a namespace: its own, so
// that nobody holds open or closed what is another's. The Mesh may name any.
func (t *translator) invariantTo(n *load.Node) mesh.Ref {
	for _, key := range []string{"ports", "methods", "paths", "hosts", "headers"} {
		t.refuse(n, key, "")
	}
	ref := t.ref(n, "service")
	switch {
	case ref.Namespace == "":
		t.Wrong(n.Span, "namespace is required: a %s has none of its own", t.Kind)
	case t.Namespace != "" && ref.Namespace != t.Namespace:
		d := t.Wrong(t.At(n, "namespace"), "an Invariant of namespace %s may only be about its own services, not those of %s", t.Namespace, ref.Namespace)
		d.Fix = &diag.Fix{Message: fmt.Sprintf("write it in namespace %s, or as an invariant of the Mesh", ref.Namespace)}
	}
	return ref
}
