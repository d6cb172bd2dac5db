package authz

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// The sets of package mesh_compile.rules, which policies/lib/authz.rego reads:
// ids of the rules that hold, and the ports open by default.
const (
	allowedSet  = "allowed"
	deniedSet   = "denied"
	exceptedSet = "excepted"
	openSet     = "open"
	// connectionSet are the ports without requests.
	connectionSet = "connections"
)

// Packages of the library that rules refer to.
const (
	headerLibrary  = "headers"
	lookupLibrary  = "lookup"
	matchLibrary   = "match"
	requestLibrary = "request"
)

// generator collects the rules of a workload. It keeps the first thing that it
// cannot say.
type generator struct {
	settings *check.Settings
	rules    []*ast.Rule
	requests bool // the port at hand has requests
	port     uint32
	err      error
}

func (g *generator) fail(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf("building Rego: "+format, args...)
	}
}

// module renders the rules.
func (g *generator) module() ([]byte, error) {
	if g.err != nil {
		return nil, g.err
	}
	m := &ast.Module{Package: &ast.Package{Path: ref("data", "mesh_compile", "rules").Value.(ast.Ref)}}
	m.Rules = g.rules
	for _, name := range []string{headerLibrary, matchLibrary, requestLibrary} {
		if g.reads(name) {
			m.Imports = append(m.Imports, &ast.Import{Path: ref("data", "mesh_compile", name)})
		}
	}
	for _, r := range m.Rules {
		r.Module = m
		ast.WalkTerms(r, g.writable)
	}
	if g.err != nil {
		return nil, g.err
	}
	out, err := format.AstWithOpts(m, format.Opts{RegoVersion: ast.RegoV1, SkipDefensiveCopying: true})
	if err != nil {
		return nil, fmt.Errorf("rendering Rego: %w", err)
	}
	return out, nil
}

// writable refuses strings that OPA's formatter writes and its parser does not
// read: it quotes as Go does, and Rego's strings are JSON's.
func (g *generator) writable(t *ast.Term) bool {
	if s, ok := t.Value.(ast.String); ok && !json.Valid([]byte(strconv.Quote(string(s)))) {
		g.fail("Rego cannot be written with the string %q", string(s))
	}
	return false
}

// reads reports whether any rule refers to an import.
func (g *generator) reads(name string) bool {
	found := false
	for _, r := range g.rules {
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			found = found || ref[0].Value.Compare(ast.Var(name)) == 0
			return found
		})
		if found {
			break
		}
	}
	return found
}

// add says "set contains member if body".
func (g *generator) add(set string, member *ast.Term, body ...*ast.Expr) {
	g.rules = append(g.rules, &ast.Rule{Head: ast.NewHead(ast.Var(set), member), Body: body})
}

// addHere is add for requests at the port at hand.
func (g *generator) addHere(set string, member *ast.Term, body []*ast.Expr) {
	port := ref("input", "attributes", "destination", "address", "socketAddress", "portValue")
	here := ast.Equal.Expr(port, ast.UIntNumberTerm(uint64(g.port)))
	g.add(set, member, append([]*ast.Expr{here}, body...)...)
}

// addPort says "set contains port".
func (g *generator) addPort(set string) {
	g.rules = append(g.rules, &ast.Rule{
		Head: ast.NewHead(ast.Var(set), ast.UIntNumberTerm(uint64(g.port))),
		Body: ast.NewBody(ast.NewExpr(ast.BooleanTerm(true))),
	})
}

// looked adds what the lookup table holds.
func (g *generator) looked(set string) {
	id := ast.VarTerm("id")
	g.add(set, id, &ast.Expr{Terms: &ast.SomeDecl{Symbols: []*ast.Term{
		ast.Member.Call(id, ref("data", "mesh_compile", lookupLibrary, set)),
	}}})
}

// rule writes one body for each pair of a source and an operation.
func (g *generator) rule(set string, r *mesh.AccessRule) {
	rest := g.when(r.When)
	if len(r.ExceptFrom)+len(r.ExceptTo) > 0 {
		rest = append(rest, not(ast.NewExpr(ref(exceptedSet, r.ID))))
		g.exception(r)
	}
	g.product(set, r.ID, r.From, r.To, rest)
}

// exception is what both exceptions describe. One that names callers never
// covers those without identity.
func (g *generator) exception(r *mesh.AccessRule) {
	var rest []*ast.Expr
	if len(r.ExceptFrom) > 0 {
		rest = append(rest, ast.NewExpr(ref(requestLibrary, "identity")))
	}
	g.product(exceptedSet, r.ID, r.ExceptFrom, r.ExceptTo, rest)
}

func (g *generator) product(set, id string, from []mesh.Source, to []mesh.Operation, rest []*ast.Expr) {
	if len(from) == 0 {
		from = []mesh.Source{{}}
	}
	if len(to) == 0 {
		to = []mesh.Operation{{}}
	}
	for i := range from {
		for k := range to {
			body := append(g.source(&from[i]), g.operation(&to[k])...)
			for _, e := range rest {
				body = append(body, e.Copy())
			}
			g.addHere(set, ast.StringTerm(id), body)
		}
	}
}
