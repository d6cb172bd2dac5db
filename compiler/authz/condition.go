package authz

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// condition is one that any value of a list may meet. holds is the form that
// OPA finds rules by; function, of policies/lib/match.rego, says the same
// and can be negated.
type condition[T any] struct {
	holds, function func([]T) *ast.Expr
}

// addTo adds "any of yes and none of no".
func (c condition[T]) addTo(e *[]*ast.Expr, yes, no []T) {
	if len(yes) > 0 {
		*e = append(*e, c.holds(yes))
	}
	if len(no) > 0 {
		*e = append(*e, not(c.function(no)))
	}
}

// text is a condition on a string of the request: a function, its arguments
// before the matchers, and where the input document has the string.
func text(at *ast.Term, function string, args ...string) condition[mesh.StringMatch] {
	f := func(values []mesh.StringMatch) *ast.Expr { return callMatch(function, args, matchers(values)) }
	return condition[mesh.StringMatch]{function: f, holds: func(values []mesh.StringMatch) *ast.Expr {
		if at == nil || !allExact(values) {
			return f(values)
		}
		return isOneOf(at, mapped(values, value))
	}}
}

func callMatch(function string, args []string, list *ast.Term) *ast.Expr {
	return call(ref("match", function), append(stringTerms(args), list)...)
}

// source is what a source says of the caller.
func (g *generator) source(s *mesh.Source) []*ast.Expr {
	var e []*ast.Expr
	identityIs().addTo(&e, s.Principals, s.NotPrincipals)
	identityIs().addTo(&e, g.accounts(s.ServiceAccounts), g.accounts(s.NotServiceAccounts))
	g.namespaceIs().addTo(&e, s.Namespaces, s.NotNamespaces)
	g.addressIn("peer").addTo(&e, s.IPBlocks, s.NotIPBlocks)
	g.addressIn("client").addTo(&e, s.RemoteIPBlocks, s.NotRemoteIPBlocks)
	if s.Meshed {
		e = append(e, ast.StartsWith.Expr(principal(), ast.StringTerm("spiffe://"+g.settings.TrustDomain+"/")))
	}
	return e
}

func principal() *ast.Term { return ref("input", "attributes", "source", "principal") }

func identityIs() condition[mesh.StringMatch] { return text(principal(), "identity") }

func (g *generator) accounts(accounts []mesh.AccountRef) []mesh.StringMatch {
	return mapped(accounts, func(a mesh.AccountRef) mesh.StringMatch {
		return mesh.StringMatch{Value: SPIFFE(g.settings.TrustDomain, a.Namespace, a.Name)}
	})
}

func (g *generator) namespaceIs() condition[mesh.StringMatch] {
	named := text(nil, "namespace", g.settings.TrustDomain)
	checked := func(values []mesh.StringMatch) *ast.Expr {
		for _, m := range values {
			if _, err := segmentPattern(m); err != nil {
				g.fail("%w", err)
			}
		}
		return named.function(values)
	}
	return condition[mesh.StringMatch]{checked, checked}
}

func (g *generator) addressIn(function string) condition[string] {
	in := func(blocks []string) *ast.Expr {
		return callMatch(function, nil, ast.ArrayTerm(mapped(blocks, g.block)...))
	}
	return condition[string]{in, in}
}

func (g *generator) block(text string) *ast.Term {
	prefix, err := parseBlock(text)
	if err != nil {
		g.fail("%w", err)
	}
	return ast.StringTerm(prefix.String())
}

// operation is what an operation says of the request.
func (g *generator) operation(o *mesh.Operation) []*ast.Expr {
	if len(o.Ports)+len(o.NotPorts) > 0 {
		g.fail("ports of a rule are decided before")
	}
	if o.IsHTTP() && !g.requests {
		g.fail("port %d has no requests", g.port)
	}
	var e []*ast.Expr
	text(httpField("method"), "method").addTo(&e, o.Methods, o.NotMethods)
	text(ref("request", "path"), "path").addTo(&e, o.Paths, o.NotPaths)
	hostIn().addTo(&e, o.Hosts, o.NotHosts)
	for i := range o.Headers {
		e = append(e, headerHolds(&o.Headers[i]))
	}
	return e
}

func httpField(path ...string) *ast.Term {
	return ref("input", append([]string{"attributes", "request", "http"}, path...)...)
}

// hostIn compares the authority without regard to case, see hostIs.
func hostIn() condition[mesh.StringMatch] {
	in := func(values []mesh.StringMatch) *ast.Expr {
		return callMatch("host", nil, ast.ArrayTerm(mapped(values, hostMatcher)...))
	}
	return condition[mesh.StringMatch]{in, in}
}

func hostMatcher(m mesh.StringMatch) *ast.Term {
	m.IgnoreCase = true
	if exactAuthority(m) {
		return matcher(m)
	}
	return matcher(m, flag("any_port"))
}

// headerIsIn is a condition on a header that is there.
func headerIsIn(name string) condition[mesh.StringMatch] {
	if strings.HasPrefix(name, ":") || name == "host" {
		return text(nil, "header", name)
	}
	return text(httpField("headers", name), "header", name)
}

// headerHolds compares a header. An inverted comparison of a value takes absence
// for the empty value, see envoymatch.Header.
func headerHolds(h *mesh.HeaderMatch) *ast.Expr {
	is, one := headerIsIn(h.Name), []mesh.StringMatch{h.StringMatch}
	switch {
	case !h.Invert:
		return is.holds(one)
	case h.Kind == mesh.Present:
		return not(is.function(one))
	}
	return not(callMatch("header_or_empty", []string{h.Name}, matchers(one)))
}

// when are the `when` entries of a rule.
func (g *generator) when(conditions []mesh.Condition) []*ast.Expr {
	var e []*ast.Expr
	for _, w := range conditions {
		switch name, isHeader := headerOf(w.Key); {
		case isHeader && !g.requests:
			g.fail("port %d has no requests", g.port)
		case isHeader:
			headerIsIn(name).addTo(&e, w.Values, w.NotValues)
		case w.Key == keyNamespace:
			g.namespaceIs().addTo(&e, w.Values, w.NotValues)
		case w.Key == keyPrincipal:
			identityIs().addTo(&e, w.Values, w.NotValues)
		case w.Key == keySNI:
			text(nil, "sni").addTo(&e, w.Values, w.NotValues)
		case addressKeys[w.Key] != "":
			g.addressIn(addressKeys[w.Key]).addTo(&e, mapped(w.Values, value), mapped(w.NotValues, value))
		default:
			g.fail("condition %q is not known", w.Key)
		}
	}
	return e
}

// addressKeys are functions of policies/lib/match.rego by key.
var addressKeys = map[string]string{keySourceIP: "peer", keyRemoteIP: "client", keyDestination: "local"}
