package authz

import "github.com/open-policy-agent/opa/v1/ast"

// ref is a dotted reference: ref("request", "path").
func ref(root string, path ...string) *ast.Term {
	out := ast.Ref{ast.VarTerm(root)}
	for _, p := range path {
		out = append(out, ast.StringTerm(p))
	}
	return ast.NewTerm(out)
}

func not(e *ast.Expr) *ast.Expr {
	e.Negated = true
	return e
}

func stringTerms(values []string) []*ast.Term { return mapped(values, ast.StringTerm) }

// isOneOf says that value is one of these strings, in the form that OPA indexes
// rules by.
func isOneOf(value *ast.Term, values []string) *ast.Expr {
	if len(values) == 1 {
		return ast.Equal.Expr(value, ast.StringTerm(values[0]))
	}
	return ast.Member.Expr(value, ast.SetTerm(stringTerms(values)...))
}
