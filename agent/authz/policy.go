package authz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// maxFile bounds one file of a bundle, as expanded.
const maxFile = 64 << 20

// Rules that may decide, the first that the bundle has.
const (
	decisionRule = "data.mesh_compile.authz.decision"
	allowRule    = "data.mesh_compile.authz.allow"
)

// A policy is a bundle that is ready to decide. It is immutable.
type policy struct {
	query rego.PreparedEvalQuery
	reads reads
}

// prepare reads and compiles a bundle.
func prepare(ctx context.Context, data []byte) (*policy, error) {
	p, err := compile(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("preparing the OPA bundle: %w", err)
	}
	return p, nil
}

func compile(ctx context.Context, data []byte) (*policy, error) {
	caps := capabilities()
	b, err := bundle.NewReader(bytes.NewReader(data)).WithSizeLimitBytes(maxFile).
		WithCapabilities(caps).WithSkipBundleVerification(true).Read() // the release's signature covers it
	if err != nil {
		return nil, err
	}
	modules := map[string]*ast.Module{}
	for _, m := range b.Modules {
		modules[m.Path] = m.Parsed
	}
	c := ast.NewCompiler().WithCapabilities(caps)
	if c.Compile(modules); c.Failed() {
		return nil, c.Errors
	}
	rule, err := decider(c)
	if err != nil {
		return nil, err
	}
	store := inmem.NewFromObjectWithOpts(b.Data, inmem.OptRoundTripOnWrite(false), inmem.OptReturnASTValuesOnRead(true))
	query, err := rego.New(rego.Query(rule), rego.Compiler(c), rego.Store(store), rego.StoreReadAST(true),
		rego.Capabilities(caps)).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	return &policy{query: query, reads: readsOf(c)}, nil
}

// forbidden are the builtins that reach out of the evaluation.
var forbidden = []string{"http.send", "net.lookup_ip_addr", "opa.runtime"}

func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		return slices.Contains(forbidden, b.Name)
	})
	c.AllowNet = []string{} // no remote schemas; nil would allow every host
	return c
}

func decider(c *ast.Compiler) (string, error) {
	for _, rule := range []string{decisionRule, allowRule} {
		if len(c.GetRulesExact(ast.MustParseRef(rule))) > 0 {
			return rule, nil
		}
	}
	return "", fmt.Errorf("it has neither %s nor %s", decisionRule, allowRule)
}

// reads are the references to input in a bundle. Building the input costs more
// than evaluating most policies, so only what is read is built.
type reads []ast.Ref

func readsOf(c *ast.Compiler) (out reads) {
	for _, m := range c.Modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if r.HasPrefix(ast.InputRootRef) {
				out = append(out, r)
			}
			return false
		})
	}
	return out
}

// any reports whether something may read the input at path, above it or below.
func (r reads) any(path ...string) bool {
	return slices.ContainsFunc(r, func(ref ast.Ref) bool {
		for i, term := range ref[1:] {
			if i >= len(path) {
				return true
			}
			if s, ok := term.Value.(ast.String); ok && string(s) != path[i] {
				return false
			}
		}
		return true
	})
}

// verdict is what a policy says.
type verdict struct {
	allow bool
	rule  string
}

var errUnclear = errors.New("the policy's decision is neither a boolean nor an object with a boolean allow")

func (p *policy) decide(ctx context.Context, input ast.Value) (verdict, error) {
	results, err := p.query.Eval(ctx, rego.EvalParsedInput(input))
	if err != nil {
		return verdict{}, fmt.Errorf("evaluating the policy: %w", err)
	}
	if len(results) == 0 || len(results[0].Expressions) == 0 {
		return verdict{}, nil // undefined
	}
	switch v := results[0].Expressions[0].Value.(type) {
	case bool:
		return verdict{allow: v}, nil
	case map[string]any:
		allow, ok := v["allow"].(bool)
		if !ok {
			return verdict{}, errUnclear
		}
		rule, _ := v["rule"].(string)
		return verdict{allow, strings.ToValidUTF8(rule, "")}, nil
	}
	return verdict{}, errUnclear
}
