// Package policytest runs the PolicyTests of a checked mesh by the evaluator.
//
// In: a checked mesh. Out: one result for each case, with what was expected, what
// happens, and the rules that decided. It asks no Envoy: `mesh-compile test
// --envoy` compares these results with those of a real one.
package policytest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Result of one case.
type Result struct {
	Test     *mesh.Test
	Case     *mesh.TestCase
	Request  reach.Request
	Result   *reach.Result // nil where the case could not be asked
	Failures []Failure     // empty: the case holds
}

// Passed reports whether the case holds.
func (r *Result) Passed() bool { return len(r.Failures) == 0 }

// Failure is one expectation that does not hold.
type Failure struct {
	Field     string // as the document writes it, such as "access" or "upstream.headers.x-user"
	Want, Got string
	By        Decider
}

// Decider is the rule or reason that decided, "" where nothing did, and its place.
type Decider struct {
	Name string
	At   source.Span
}

func (f Failure) String() string { return f.text("") }

// text says a failure; dir is put before file names.
func (f *Failure) text(dir string) string {
	out := fmt.Sprintf("%s: want %s, got %s", f.Field, f.Want, f.Got)
	if f.By.Name != "" {
		out += ", by " + f.By.Name
	}
	if f.By.At.IsValid() {
		out += fmt.Sprintf(" (%s)", f.By.At.Below(dir))
	}
	return out
}

// Run asks every case of every test, in order.
func Run(m *check.Mesh) []Result {
	e := reach.New(m)
	var out []Result
	for _, t := range m.Tests() {
		for i := range t.Cases {
			out = append(out, run(m, e, t, &t.Cases[i]))
		}
	}
	return out
}

func run(m *check.Mesh, e *reach.Evaluator, t *mesh.Test, c *mesh.TestCase) Result {
	out := Result{Test: t, Case: c}
	request, err := requestOf(m, t, c)
	if err == nil {
		var got reach.Result
		if got, err = e.Evaluate(request); err == nil {
			out.Request, out.Result = request, &got
			out.Failures = compare(t, &c.Expect, &got)
			return out
		}
	}
	out.Failures = []Failure{{Field: "request", Want: "a request that can be sent", Got: err.Error()}}
	return out
}

// requestOf names the callee by a host that holds in every namespace.
func requestOf(m *check.Mesh, t *mesh.Test, c *mesh.TestCase) (reach.Request, error) {
	r := reach.Request{From: c.From, Method: c.Method, Path: c.Path, Headers: map[string][]string{}}
	for name, value := range c.Headers {
		r.Headers[name] = []string{value}
	}
	if c.Gateway != "" {
		return enter(m, c, r)
	}
	host, port := c.To.Host, c.Port
	if host == "" {
		s := m.Service(keyOf(t, c.To))
		if s == nil || len(s.Hosts) == 0 {
			return r, fmt.Errorf("there is no service %s", keyOf(t, c.To))
		}
		host = s.Hosts[0]
		if port == 0 && len(s.Ports) == 1 {
			port = s.Ports[0].Number
		}
		if port == 0 {
			return r, fmt.Errorf("service %s has %d ports: name one", s.Key(), len(s.Ports))
		}
	}
	if rest, ok := strings.CutPrefix(host, "*"); ok {
		host = "any" + rest
	}
	if r.To = host; port != 0 {
		r.To += ":" + strconv.FormatUint(uint64(port), 10)
	}
	return r, nil
}

// enter is a request from outside at a gateway.
func enter(m *check.Mesh, c *mesh.TestCase, r reach.Request) (reach.Request, error) {
	r.Gateway, r.SNI, r.ClientCertificate = c.Gateway, c.SNI, c.ClientCertificate
	port := c.Port
	for _, w := range m.Workloads() {
		for _, p := range w.Gateway {
			if !slices.ContainsFunc(p.Listeners, func(l *check.GatewayListener) bool { return l.Gateway == c.Gateway }) || c.Port != 0 {
				continue
			}
			if port != 0 {
				return r, fmt.Errorf("gateway %s has several ports: name one", c.Gateway)
			}
			port = p.Number
		}
	}
	host := c.Host
	if host == "" {
		host = "gateway.invalid" // connections name none
	}
	r.To = net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
	if _, written := r.Headers["host"]; !written && c.Host != "" {
		r.Headers["host"] = []string{c.Host}
	}
	return r, nil
}

func keyOf(t *mesh.Test, ref mesh.Ref) string {
	if ref.Namespace == "" {
		return t.Namespace + "/" + ref.Name
	}
	return ref.Namespace + "/" + ref.Name
}

func accessDecider(r *reach.Result) Decider {
	switch {
	case r.Access.Decision == reach.NotAsked:
		return Decider{Name: "nobody: the request reaches no workload"}
	case r.Access.Rule != nil:
		return Decider{Name: fmt.Sprintf("rule %q", r.Access.Rule.ID), At: r.Access.Span}
	}
	return Decider{Name: r.Access.Reason, At: r.Access.Span}
}

func routeDecider(r *reach.Result) Decider {
	if rule := r.Route.Rule; rule != nil {
		return Decider{Name: fmt.Sprintf("rule %q", rule.Name), At: rule.Span}
	}
	return Decider{Name: r.Route.Reason}
}
