package authz

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// allowList lets n callers each do one thing.
func allowList(n int) *check.Inbound {
	in := &check.Inbound{Port: 8080, Protocol: mesh.HTTP}
	for i := range n {
		in.Access.Allow = append(in.Access.Allow, &mesh.AccessRule{
			ID:   fmt.Sprintf("AccessPolicy/shop/payment/%05d", i),
			From: []mesh.Source{{ServiceAccounts: []mesh.AccountRef{{Namespace: "shop", Name: fmt.Sprintf("caller-%d", i)}}}},
			To:   []mesh.Operation{{Methods: []mesh.StringMatch{{Value: "POST"}}, Paths: []mesh.StringMatch{{Value: fmt.Sprintf("/charges/%d", i)}}}},
		})
	}
	return in
}

func caller(i int) probe {
	return probe{
		identity: check.SPIFFE("td", "shop", fmt.Sprintf("caller-%d", i)), peer: "127.0.0.1",
		method: "POST", path: fmt.Sprintf("/charges/%d?once", i), host: "payment",
	}
}

// TestThreshold: one entry more than the bound changes the form and no answer.
func TestThreshold(t *testing.T) {
	t.Parallel()
	for n, inTable := range map[int]bool{maxStatic: false, maxStatic + 1: true} {
		in := allowList(n)
		w := &check.Workload{Inbound: []*check.Inbound{in}}
		written, err := build(settings, w, maxStatic)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := build(settings, w, maxStatic); !bytes.Equal(written, again) {
			t.Error("building twice gives other bytes")
		}
		b, err := bundle.NewReader(bytes.NewReader(written)).Read()
		if err != nil {
			t.Fatal(err)
		}
		if got := !strings.Contains(rulesOf(&b), "caller-0"); got != inTable {
			t.Errorf("%d entries: in a table is %t, want %t", n, got, inTable)
		}
		asked := newOPA(t, in)
		for _, i := range []int{0, n / 2, n - 1} {
			p, stranger := caller(i), caller(i)
			stranger.identity = check.SPIFFE("td", "shop", fmt.Sprintf("caller-%d", i+1))
			for _, p := range []probe{p, stranger} {
				want := evaluated(in, &p)
				for form, got := range asked.decisions(t, p.input(8080)) {
					if got != want {
						t.Errorf("%d entries, %s: got %v, want %v for %+v", n, form, got, want, p)
					}
				}
			}
		}
	}
}

// TestTableTakesNoMultitude: lists of one rule multiply in the table only.
func TestTableTakesNoMultitude(t *testing.T) {
	t.Parallel()
	in := allowList(1)
	rule := in.Access.Allow[0]
	for i := range 100 {
		rule.From[0].ServiceAccounts = append(rule.From[0].ServiceAccounts, mesh.AccountRef{Namespace: "shop", Name: fmt.Sprint(i)})
		rule.To[0].Paths = append(rule.To[0].Paths, mesh.StringMatch{Value: fmt.Sprintf("/%d", i)})
	}
	written, err := build(settings, &check.Workload{Inbound: []*check.Inbound{in}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.NewReader(bytes.NewReader(written)).Read()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(rulesOf(&b), "contains"); n != 1 || len(b.Data) > 0 {
		t.Errorf("%d rules and data %v, want one rule and no data", n, b.Data)
	}
}

// BenchmarkOPA is one decision, and what a bundle takes to prepare.
func BenchmarkOPA(b *testing.B) {
	for _, n := range []int{10, 1000, 5000} {
		w := &check.Workload{Inbound: []*check.Inbound{allowList(n)}}
		for form, limit := range map[string]int{"rules": n, "table": -1} {
			written, err := build(settings, w, limit)
			if err != nil {
				b.Fatal(err)
			}
			last := caller(n - 1)
			input, err := ast.InterfaceToValue(last.input(8080))
			if err != nil {
				b.Fatal(err)
			}
			q := prepare(b, written)
			b.Run(fmt.Sprintf("decide/%s/%d", form, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := q.Eval(context.Background(), rego.EvalParsedInput(input)); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("prepare/%s/%d", form, n), func(b *testing.B) {
				for b.Loop() {
					prepare(b, written)
				}
			})
			b.Run(fmt.Sprintf("build/%s/%d", form, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := build(settings, w, limit); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
