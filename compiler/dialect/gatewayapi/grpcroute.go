package gatewayapi

import (
	"regexp"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) grpcRoute(spec *load.Node) {
	t.route(spec, t.grpcRule, func(*mesh.Route) {
		t.Warn(t.At(spec, "rules"), "the route has no rules: it refuses every call")
	})
}

func (t *translator) grpcRule(n *load.Node, r *mesh.Rule) {
	for _, m := range n.ItemsOf("matches") {
		r.Matches = append(r.Matches, t.grpcMatch(m))
	}
	if len(r.Matches) == 0 { // every call
		r.Matches = []mesh.Match{{GRPC: true, Precedence: []uint32{0, 0, 0, 0}, Span: r.Span}}
	}
	t.filters(n, r)
	t.backends(n, r)
	t.unanswered(n, r, 503) // which gRPC clients see as UNAVAILABLE
}

// grpcMatch reads one match. GRPCRouteRule.matches orders them by the length of
// service and method and the number of headers; regular expressions, which it
// leaves to the implementation, come after names.
func (t *translator) grpcMatch(n *load.Node) mesh.Match {
	m := mesh.Match{GRPC: true, Span: n.Span}
	t.headers(n, &m)
	method := n.Get("method")
	service, name := method.TextOf("service"), method.TextOf("method")
	exact := uint32(0)
	if method != nil {
		m.Path = t.call(method, service, name)
		if method.TextOf("type") != "RegularExpression" {
			exact = 1
		}
	}
	m.Precedence = []uint32{exact, uint32(len(service)), uint32(len(name)), headersOf(&m)} //nolint:gosec // a document is shorter
	return m
}

var (
	serviceName = regexp.MustCompile(`^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$`)
	methodName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)
)

// call is the path of a call, "/service/method" (gRPC over HTTP/2). What is not
// written is any.
func (t *translator) call(n *load.Node, service, method string) *mesh.StringMatch {
	if service == "" && method == "" {
		t.Wrong(n.Span, "method has neither service nor method")
		return nil
	}
	if t.choice(n, "type", "Exact", "RegularExpression") == "RegularExpression" {
		return &mesh.StringMatch{Kind: mesh.Regex, Value: "/" + t.anyOr(n, "service") + "/" + t.anyOr(n, "method"), Span: n.Span}
	}
	if service != "" && !serviceName.MatchString(service) && !translate.Placeholder(service) {
		t.Wrong(t.At(n, "service"), "service %q: want names of letters, digits and _, with dots between them", service)
	}
	if method != "" && !methodName.MatchString(method) && !translate.Placeholder(method) {
		t.Wrong(t.At(n, "method"), "method %q: want letters, digits and _", method)
	}
	switch {
	case service == "":
		return &mesh.StringMatch{Kind: mesh.Regex, Value: "/[^/]+/" + regexp.QuoteMeta(method), Span: t.At(n, "method")}
	case method == "":
		return &mesh.StringMatch{Kind: mesh.Prefix, Value: "/" + service + "/", Span: t.At(n, "service")}
	}
	return &mesh.StringMatch{Value: "/" + service + "/" + method, Span: t.At(n, "method")}
}

// anyOr is an expression as one part of another; without one, any name.
func (t *translator) anyOr(n *load.Node, key string) string {
	expression := n.TextOf(key)
	if expression == "" {
		return "[^/]+"
	}
	if _, err := regexp.Compile(expression); err != nil {
		t.Wrong(t.At(n, key), "%s %q is not an RE2 expression: %v", key, expression, err)
		return "[^/]+"
	}
	return "(?:" + expression + ")"
}
