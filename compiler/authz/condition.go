package authz

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// condition is one that any value of a list may meet. holds is the form that
// OPA finds rules by; function, of the library in package policies, says the
// same and can be negated.
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
func text(at, function *ast.Term, args ...string) condition[mesh.StringMatch] {
	f := func(values []mesh.StringMatch) *ast.Expr { return call(function, args, matchers(values)) }
	return condition[mesh.StringMatch]{function: f, holds: func(values []mesh.StringMatch) *ast.Expr {
		if at == nil || !allExact(values) {
			return f(values)
		}
		return isOneOf(at, mapped(values, value))
	}}
}

func call(function *ast.Term, args []string, list *ast.Term) *ast.Expr {
	terms := append([]*ast.Term{function}, stringTerms(args)...)
	return ast.NewExpr(append(terms, list))
}

func match(function string) *ast.Term { return ref(matchLibrary, function) }

func headers(function string) *ast.Term { return ref(headerLibrary, function) }

// source is what a source says of the caller.
func (g *generator) source(s *mesh.Source) []*ast.Expr {
	var e []*ast.Expr
	identityIs().addTo(&e, s.Principals, s.NotPrincipals)
	identityIs().addTo(&e, g.accounts(s.ServiceAccounts), g.accounts(s.NotServiceAccounts))
	g.namespaceIs().addTo(&e, s.Namespaces, s.NotNamespaces)
	g.addressIn(match("peer")).addTo(&e, s.IPBlocks, s.NotIPBlocks)
	g.addressIn(headers("client")).addTo(&e, s.RemoteIPBlocks, s.NotRemoteIPBlocks)
	if s.Meshed {
		e = append(e, ast.StartsWith.Expr(principal(), ast.StringTerm("spiffe://"+g.settings.TrustDomain+"/")))
	}
	return e
}

func principal() *ast.Term { return ref("input", "attributes", "source", "principal") }

func identityIs() condition[mesh.StringMatch] { return text(principal(), match("identity")) }

func (g *generator) accounts(accounts []mesh.AccountRef) []mesh.StringMatch {
	return mapped(accounts, func(a mesh.AccountRef) mesh.StringMatch {
		return mesh.StringMatch{Value: check.SPIFFE(g.settings.TrustDomain, a.Namespace, a.Name)}
	})
}

func (g *generator) namespaceIs() condition[mesh.StringMatch] {
	named := text(nil, match("namespace"), g.settings.TrustDomain)
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

func (g *generator) addressIn(function *ast.Term) condition[string] {
	in := func(blocks []string) *ast.Expr {
		return call(function, nil, ast.ArrayTerm(mapped(blocks, g.block)...))
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
	text(httpField("method"), match("method")).addTo(&e, o.Methods, o.NotMethods)
	text(ref(requestLibrary, "path"), match("path")).addTo(&e, o.Paths, o.NotPaths)
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
		return call(match("host"), nil, ast.ArrayTerm(mapped(values, hostMatcher)...))
	}
	return condition[mesh.StringMatch]{in, in}
}

func hostMatcher(m mesh.StringMatch) *ast.Term {
	m.IgnoreCase = true
	if exactAuthority(m) {
		return matcher(m)
	}
	return matcher(m, isTrue("any_port"))
}

// headerIsIn is a condition on a header that is there.
func headerIsIn(name string) condition[mesh.StringMatch] { return text(nil, headers("is"), name) }

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
	return not(call(headers("is_or_empty"), []string{h.Name}, matchers(one)))
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
			// Whoever asks OPA may not say the name, which is not the same as none.
			e = append(e, ast.NewExpr(ref(requestLibrary, "sni")))
			text(nil, match("sni")).addTo(&e, w.Values, w.NotValues)
		case addressKeys[w.Key] != nil:
			g.addressIn(addressKeys[w.Key]()).addTo(&e, mapped(w.Values, value), mapped(w.NotValues, value))
		default:
			g.fail("condition %q is not known", w.Key)
		}
	}
	return e
}

var addressKeys = map[string]func() *ast.Term{
	keySourceIP:    func() *ast.Term { return match("peer") },
	keyRemoteIP:    func() *ast.Term { return headers("client") },
	keyDestination: func() *ast.Term { return match("local") },
}
