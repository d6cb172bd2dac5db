package authz

import (
	"bytes"
	"context"
	"maps"
	"net/netip"
	"slices"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"

	agentauthz "github.com/mesh-compile/mesh-compile/agent/authz"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// verdict is what each engine must agree on.
type verdict struct {
	Allow bool
	Rule  string
}

// evaluated is the evaluator's verdict.
func evaluated(in *check.Inbound, p *probe) verdict {
	r := reach.Request{
		From: p.identity, To: "unused:1", Method: p.method, Path: p.path,
		Headers: map[string][]string{"Host": {p.host}}, Client: p.client(), Peer: netip.MustParseAddr(p.peer),
	}
	for name, value := range p.headers {
		r.Headers[name] = value
	}
	a := reach.Decide(settings, in, r)
	out := verdict{Allow: a.Decision == reach.Allow}
	if a.Rule != nil {
		out.Rule = a.Rule.ID
	}
	return out
}

// withoutNetwork is what a sandbox leaves to policies.
func withoutNetwork() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return slices.Contains([]string{"http.send", "net.lookup_ip_addr", "opa.runtime"}, b.Name) || b.IsNondeterministic()
	})
	return c
}

func prepare(t testing.TB, written []byte) rego.PreparedEvalQuery {
	t.Helper()
	b, err := bundle.NewReader(bytes.NewReader(written)).Read()
	if err != nil {
		t.Fatal(err)
	}
	q, err := rego.New(
		rego.Query("data.mesh_compile.authz.decision"), rego.ParsedBundle("workload", &b),
		rego.Capabilities(withoutNetwork()), rego.Strict(true),
	).PrepareForEval(context.Background())
	if err != nil {
		t.Fatalf("%v\n%s", err, rulesOf(&b))
	}
	return q
}

func rulesOf(b *bundle.Bundle) string {
	for _, m := range b.Modules {
		if m.Path == "/mesh_compile/rules.rego" {
			return string(m.Raw)
		}
	}
	return ""
}

// opa is a bundle in its forms, rules and lookup table, and the agent with the
// former.
type opa struct {
	table, static rego.PreparedEvalQuery
	server        *agentauthz.Server
}

func newOPA(t testing.TB, in *check.Inbound) opa {
	t.Helper()
	w := &check.Workload{Inbound: []*check.Inbound{in}}
	forms, server := make([]rego.PreparedEvalQuery, 2), agentauthz.NewServer()
	for i, limit := range []int{-1, maxStatic} {
		written, err := build(settings, w, limit)
		if err != nil {
			t.Fatal(err)
		}
		forms[i] = prepare(t, written)
		if err := server.Load(context.Background(), written); err != nil {
			t.Fatal(err)
		}
	}
	return opa{forms[0], forms[1], server}
}

// decisions returns the verdicts by what was asked.
func (o opa) decisions(t testing.TB, input any) map[string]verdict {
	t.Helper()
	parsed, err := ast.InterfaceToValue(input)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]verdict{}
	for name, q := range map[string]rego.PreparedEvalQuery{"rules": o.static, "table": o.table} {
		for _, indexed := range []bool{true, false} {
			results, err := q.Eval(context.Background(), rego.EvalParsedInput(parsed), rego.EvalRuleIndexing(indexed))
			if err != nil {
				t.Fatal(err)
			}
			if !indexed {
				name += " without index"
			}
			d := results[0].Expressions[0].Value.(map[string]any)
			out[name] = verdict{d["allow"].(bool), d["rule"].(string)}
		}
	}
	return out
}

// agent returns the verdict that Envoy would get.
func (o opa) agent(t testing.TB, q *authv3.CheckRequest) verdict {
	t.Helper()
	answer, err := o.server.Check(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if status := answer.GetDeniedResponse().GetStatus().GetCode(); status != 0 && status != 403 {
		t.Errorf("the agent answers %d", status)
	}
	rule := answer.GetDynamicMetadata().GetFields()["rule"].GetStringValue()
	return verdict{answer.GetStatus().GetCode() == 0 && answer.GetOkResponse() != nil, rule}
}

// input is the document of the opa-envoy-plugin, with what rules read. A probe
// without method is a connection.
func (p *probe) input(port int) map[string]any {
	source := map[string]any{"address": socket(p.peer, 40000)}
	if p.identity != "" {
		source["principal"] = p.identity
	}
	attributes := map[string]any{"source": source, "destination": map[string]any{"address": socket("127.0.0.1", port)}}
	if p.method != "" {
		attributes["request"] = map[string]any{"http": map[string]any{
			"method": p.method, "path": p.path, "host": p.host, "headerLines": linesOf(p.headers),
		}}
	}
	return map[string]any{"attributes": attributes}
}

// linesOf is never nil, which would be null and not empty.
func linesOf(headers map[string][]string) map[string][]string {
	out := map[string][]string{}
	maps.Copy(out, headers)
	return out
}

func socket(address string, port int) map[string]any {
	return map[string]any{"socketAddress": map[string]any{"address": address, "portValue": port}}
}

// TestTruth asks OPA, in each of its forms, and the evaluator about random
// requests under random rules.
func TestTruth(t *testing.T) {
	t.Parallel()
	r := newRandom(t)
	allowed, total := 0, 0
	for i := range 80 {
		in := r.inbound(8080)
		if i%4 == 0 {
			in = r.connections(8080)
		}
		asked := newOPA(t, in)
		for range 40 {
			p := r.probe()
			if !in.Protocol.IsHTTP() {
				p = probe{identity: p.identity, peer: p.peer}
			}
			want := evaluated(in, &p)
			for form, got := range asked.decisions(t, p.input(8080)) {
				if got != want {
					t.Errorf("%s: got %v, the evaluator says %v for %+v", form, got, want, p)
				}
			}
			if total++; want.Allow {
				allowed++
			}
			if t.Failed() {
				written, _ := build(settings, &check.Workload{Inbound: []*check.Inbound{in}}, maxStatic)
				b, _ := bundle.NewReader(bytes.NewReader(written)).Read()
				t.Fatalf("under these rules:\n%s", rulesOf(&b))
			}
		}
	}
	if allowed < total/10 || allowed > total*9/10 {
		t.Errorf("%d of %d requests are allowed: too one-sided to tell anything", allowed, total)
	}
}

// TestIncomplete: a negated condition must not hold because the question was not
// asked in full.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	asked := newOPA(t, &check.Inbound{Port: 8080, Protocol: mesh.HTTP, Access: check.Access{
		Allow: []*mesh.AccessRule{{ID: "not-admin", To: []mesh.Operation{{
			NotPaths: []mesh.StringMatch{{Value: "/admin"}},
			Headers:  []mesh.HeaderMatch{{Name: "x-a", StringMatch: mesh.StringMatch{Value: "secret"}, Invert: true}},
		}}}},
	}})
	whole := probe{peer: "127.0.0.1", method: "GET", path: "/", host: "shop.example"}
	for form, got := range asked.decisions(t, whole.input(8080)) {
		if !got.Allow {
			t.Errorf("%s: the whole input is denied", form)
		}
	}
	for _, missing := range []string{"method", "path", "host", "headerLines"} {
		input := whole.input(8080)
		delete(input["attributes"].(map[string]any)["request"].(map[string]any)["http"].(map[string]any), missing)
		for form, got := range asked.decisions(t, input) {
			if got.Allow {
				t.Errorf("%s: allowed without %s", form, missing)
			}
		}
	}
	for _, elsewhere := range []any{map[string]any{}, "x", whole.input(8081)} {
		for form, got := range asked.decisions(t, elsewhere) {
			if got.Allow {
				t.Errorf("%s: allowed an input that no rule is about", form)
			}
		}
	}
}
