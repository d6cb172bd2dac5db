package authz

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// expressions that must all hold.
type expressions []*ast.Expr

// both adds "any of yes and none of no". holds says that any of a list does;
// what is not there matches nothing, also what is negated.
func both[T any](e *expressions, yes, no []T, holds func([]T) *ast.Expr) {
	if len(yes) > 0 {
		*e = append(*e, holds(yes))
	}
	if len(no) > 0 {
		*e = append(*e, not(holds(no)))
	}
}

// source is what a source says of the caller.
func (g *rego) source(s *mesh.Source) []*ast.Expr {
	var e expressions
	both(&e, s.Principals, s.NotPrincipals, identityIs)
	both(&e, s.ServiceAccounts, s.NotServiceAccounts, func(as []mesh.AccountRef) *ast.Expr {
		return isOneOf(principal(), mapped(as, spiffeIn(g.settings.TrustDomain)))
	})
	both(&e, s.Namespaces, s.NotNamespaces, g.namespaceIs)
	both(&e, s.IPBlocks, s.NotIPBlocks, g.inBlocks("peer"))
	both(&e, s.RemoteIPBlocks, s.NotRemoteIPBlocks, g.inBlocks("client"))
	if s.Meshed {
		e = append(e, ast.StartsWith.Expr(principal(), ast.StringTerm("spiffe://"+g.settings.TrustDomain+"/")))
	}
	return e
}

func principal() *ast.Term { return ref("input", "attributes", "source", "principal") }

func identityIs(values []mesh.StringMatch) *ast.Expr {
	if allExact(values) {
		return isOneOf(principal(), mapped(values, value))
	}
	return matchesAny(ref("request", "identity"), values)
}

func (g *rego) namespaceIs(values []mesh.StringMatch) *ast.Expr {
	domain := ast.StringTerm(g.settings.TrustDomain)
	namespace := ast.CallTerm(ref("request", "namespace"), domain)
	return matchesAny(namespace, values)
}

func (g *rego) inBlocks(address string) func([]string) *ast.Expr {
	return func(blocks []string) *ast.Expr {
		list := mapped(blocks, func(block string) *ast.Term {
			prefix, err := parseBlock(block)
			if err != nil {
				g.fail("%w", err)
			}
			return ast.StringTerm(prefix.String())
		})
		return call(ref("match", "any_block"), ref("request", address), ast.ArrayTerm(list...))
	}
}

// operation is what an operation says of the request.
func (g *rego) operation(o *mesh.Operation) []*ast.Expr {
	if len(o.Ports)+len(o.NotPorts) > 0 {
		g.fail("port conditions are decided before, at port %d", g.port)
	}
	if o.IsHTTP() && !g.requests {
		g.fail("port %d has no requests", g.port)
	}
	var e expressions
	both(&e, o.Methods, o.NotMethods, isAny(httpField("method")))
	both(&e, o.Paths, o.NotPaths, isAny(ref("request", "path")))
	both(&e, o.Hosts, o.NotHosts, anyHost)
	for i := range o.Headers {
		e = append(e, headerIs(&o.Headers[i]))
	}
	return e
}

func httpField(path ...string) *ast.Term {
	return ref("input", append([]string{"attributes", "request", "http"}, path...)...)
}

func isAny(of *ast.Term) func([]mesh.StringMatch) *ast.Expr {
	return func(values []mesh.StringMatch) *ast.Expr {
		if !slices.ContainsFunc(values, func(m mesh.StringMatch) bool { return !isExact(m) }) {
			return isOneOf(of, mapped(values, value))
		}
		return matchesAny(of, values)
	}
}

func matchesAny(of *ast.Term, values []mesh.StringMatch) *ast.Expr {
	list := mapped(values, func(m mesh.StringMatch) *ast.Term { return matcher(m) })
	return call(ref("match", "any_of"), of, ast.ArrayTerm(list...))
}

// anyHost compares the authority without regard to case, see host.
func anyHost(values []mesh.StringMatch) *ast.Expr {
	list := mapped(values, func(m mesh.StringMatch) *ast.Term {
		m.IgnoreCase = true
		if exactAuthority(m) {
			return matcher(m)
		}
		return matcher(m, [2]*ast.Term{ast.StringTerm("any_port"), ast.BooleanTerm(true)})
	})
	return call(ref("match", "any_host"), ast.ArrayTerm(list...))
}

// matcher is a comparison in the words of policies/lib/match.rego.
func matcher(m mesh.StringMatch, more ...[2]*ast.Term) *ast.Term {
	keys := map[mesh.MatchKind]string{
		mesh.Exact: "exact", mesh.Prefix: "prefix", mesh.Suffix: "suffix",
		mesh.Contains: "contains", mesh.SegmentPrefix: "segment_prefix",
	}
	key, text := keys[m.Kind], ast.StringTerm(m.Value)
	switch {
	case m.Kind == mesh.Present:
		key, text = "present", ast.BooleanTerm(true)
	case key == "": // a regular expression over the whole value
		key, text = "regex", ast.StringTerm(`\A(?:`+envoymatch.Pattern(m)+`)\z`)
	default:
		word := m.Value
		if m.Kind == mesh.SegmentPrefix {
			word = strings.TrimSuffix(word, "/")
		}
		if m.IgnoreCase {
			word = lowerASCII(word)
			more = append(more, [2]*ast.Term{ast.StringTerm("ignore_case"), ast.BooleanTerm(true)})
		}
		text = ast.StringTerm(word)
	}
	return ast.ObjectTerm(append([][2]*ast.Term{{ast.StringTerm(key), text}}, more...)...)
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// headerIs compares a header. An inverted comparison of a value takes absence
// for the empty value, see envoymatch.Header.
func headerIs(h *mesh.HeaderMatch) *ast.Expr {
	value := headerValue(h.Name)
	switch {
	case h.Kind == mesh.Present && h.Invert:
		return not(ast.NewExpr(value))
	case h.Kind == mesh.Present:
		return ast.NewExpr(value)
	case h.Invert:
		return not(matchesAny(valueOrEmpty(h.Name), []mesh.StringMatch{h.StringMatch}))
	}
	return isAny(value)([]mesh.StringMatch{h.StringMatch})
}

// fields are the pseudo-headers as the input document has them; "host" is
// Envoy's older name of the authority.
var fields = map[string]string{":method": "method", ":authority": "host", "host": "host", ":path": "path", ":scheme": "scheme"}

func headerValue(name string) *ast.Term {
	if field, ok := fields[name]; ok {
		return httpField(field)
	}
	return httpField("headers", name)
}

func valueOrEmpty(name string) *ast.Term {
	if _, ok := fields[name]; ok {
		return headerValue(name)
	}
	return ast.ObjectGet.Call(ref("request", "headers"), ast.StringTerm(name), ast.StringTerm(""))
}

// conditions are the `when` entries of a rule.
func (g *rego) conditions(when []mesh.Condition) []*ast.Expr {
	var e expressions
	for i := range when {
		holds := g.condition(when[i].Key)
		if holds == nil {
			g.fail("condition %q is not known", when[i].Key)
			return nil
		}
		both(&e, when[i].Values, when[i].NotValues, holds)
	}
	return e
}

func (g *rego) condition(key string) func([]mesh.StringMatch) *ast.Expr {
	if name, ok := headerOf(key); ok {
		if !g.requests {
			g.fail("port %d has no requests", g.port)
		}
		return isAny(headerValue(name))
	}
	switch key {
	case keySourceIP:
		return g.blockValues("peer")
	case keyRemoteIP:
		return g.blockValues("client")
	case keyDestination:
		return g.blockValues("local")
	case keyNamespace:
		return g.namespaceIs
	case keyPrincipal:
		return identityIs
	case keySNI:
		return func(values []mesh.StringMatch) *ast.Expr { return matchesAny(ref("request", "sni"), values) }
	}
	return nil
}

func (g *rego) blockValues(address string) func([]mesh.StringMatch) *ast.Expr {
	return func(values []mesh.StringMatch) *ast.Expr { return g.inBlocks(address)(mapped(values, value)) }
}
