package gatewayapi

import (
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// linkerdHTTPRouteSpec and what is below it are HTTPRoute of policy.linkerd.io, which has
// fewer fields and filters (charts/linkerd-crds, policy/httproute.yaml).
type linkerdHTTPRouteSpec struct {
	ParentRefs []gateway.ParentReference `json:"parentRefs,omitempty"`
	Hostnames  []gateway.Hostname        `json:"hostnames,omitempty"`
	Rules      []linkerdRule             `json:"rules,omitempty"`
}

type linkerdRule struct {
	Matches     []gateway.HTTPRouteMatch   `json:"matches,omitempty"`
	Filters     []linkerdFilter            `json:"filters,omitempty"`
	BackendRefs []linkerdBackendRef        `json:"backendRefs,omitempty"`
	Timeouts    *gateway.HTTPRouteTimeouts `json:"timeouts,omitempty"`
}

type linkerdBackendRef struct {
	gateway.BackendRef `json:",inline"`
	Filters            []linkerdFilter `json:"filters,omitempty"`
}

type linkerdFilter struct {
	Type                   string                             `json:"type"`
	RequestHeaderModifier  *gateway.HTTPHeaderFilter          `json:"requestHeaderModifier,omitempty"`
	ResponseHeaderModifier *gateway.HTTPHeaderFilter          `json:"responseHeaderModifier,omitempty"`
	RequestRedirect        *gateway.HTTPRequestRedirectFilter `json:"requestRedirect,omitempty"`
}

// linkerdFilters are those that Linkerd's HTTPRoute may have.
var linkerdFilters = []string{"RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect"}

// isServer reports a parent that is a Server of Linkerd.
func isServer(n *load.Node) bool {
	return n.TextOf("group") == linkerdGroup && strings.EqualFold(n.TextOf("kind"), "Server")
}

// server reads such a parent. One of another namespace, by port or by section, makes
// Linkerd ignore the route (policy-controller, InvalidParentRef).
func (t *translator) server(n *load.Node) []mesh.ObjectName {
	for _, key := range []string{"port", "sectionName"} {
		if f := n.Field(key); f != nil {
			d := t.Wrong(f.KeySpan, "%s stands beside a Server, which is one port already: Linkerd ignores the route", key)
			d.SetFix("remove it")
			return nil
		}
	}
	if namespace := textOr(n, "namespace", t.Namespace); namespace != t.Namespace {
		t.Wrong(t.At(n, "namespace"), "the Server is of namespace %s, and the route of %s: Linkerd ignores the route", namespace, t.Namespace)
		return nil
	}
	return []mesh.ObjectName{{Group: linkerdGroup, Kind: "Server", Name: n.TextOf("name"), Span: t.At(n, "name")}}
}

// serverRoute takes the matches of a route for the Servers that are its parents, which
// are asked for nothing else.
func (t *translator) serverRoute(spec *load.Node, servers []mesh.ObjectName, route *mesh.Route) {
	out := &mesh.ServerRoute{Origin: t.Origin, Group: t.Doc.Group(), Servers: servers}
	hosts := t.hosts(spec)
	ok := true
	for i, r := range route.Rules {
		for k := range r.Matches {
			op, good := t.operation(&r.Matches[k], hosts)
			ok = ok && good
			out.Matches = append(out.Matches, op...)
		}
		if i < len(spec.ItemsOf("rules")) {
			t.onlyMatches(spec.ItemsOf("rules")[i])
		}
	}
	if ok {
		t.out.ServerRoutes = []*mesh.ServerRoute{out}
	}
}

// onlyMatches reports what a rule says beyond matches.
func (t *translator) onlyMatches(n *load.Node) {
	if f := n.Field("filters"); f != nil && len(n.ItemsOf("filters")) > 0 {
		d := t.Unsupported(f.KeySpan, "filters of a route whose parent is a Server are not supported")
		d.SetFix("write them in a route whose parent is the Service")
	}
	for _, key := range []string{"backendRefs", "timeouts", "retry"} {
		if f := n.Field(key); f != nil && t.guards {
			t.Warn(f.KeySpan, "%s has no effect where the parent is a Server: the request goes to the workload", key)
		}
	}
}

// hosts are the hostnames, one operation each; *.name is every name that ends so.
func (t *translator) hosts(spec *load.Node) [][]mesh.StringMatch {
	var out [][]mesh.StringMatch
	for _, v := range spec.TextsOf("hostnames") {
		m := mesh.StringMatch{Value: v.Text, Span: v.Span}
		if suffix, any := strings.CutPrefix(v.Text, "*."); any {
			m.Kind, m.Value = mesh.Suffix, "."+suffix
		}
		out = append(out, []mesh.StringMatch{m})
	}
	if out == nil {
		return [][]mesh.StringMatch{nil}
	}
	return out
}

// operation is a match as access rules say it, for each of the hosts.
func (t *translator) operation(m *mesh.Match, hosts [][]mesh.StringMatch) ([]mesh.Operation, bool) {
	op := mesh.Operation{Methods: m.Methods, Headers: m.Headers, Span: m.Span}
	if m.Path != nil {
		op.Paths = []mesh.StringMatch{*m.Path}
	}
	if m.GRPC { // calls, as Linkerd's proxy knows them
		op.Methods = []mesh.StringMatch{{Value: "POST", Span: m.Span}}
		if m.Path == nil {
			op.Paths = []mesh.StringMatch{{Kind: mesh.Regex, Value: "/[^/]+/[^/]+", Span: m.Span}}
		}
	}
	switch {
	case len(m.Query) > 0:
		d := t.Unsupported(m.Query[0].Span, "queryParams of a route whose parent is a Server are not supported")
		d.SetFix("match path, method and headers: access rules see no query")
		return nil, false
	case m.Authority != nil && hosts[0] != nil:
		d := t.Unsupported(m.Authority.Span, "a match of the header Host beside hostnames is not supported where the parent is a Server")
		d.SetFix("write one of the two")
		return nil, false
	case m.Authority != nil:
		hosts = [][]mesh.StringMatch{{*m.Authority}}
	}
	var out []mesh.Operation
	for _, host := range hosts {
		op.Hosts = host
		out = append(out, op)
	}
	return out, true
}
