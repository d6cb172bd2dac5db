package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// callers warns of rules about callers that nobody is: a misspelt service account
// or namespace opens nothing in an allow, and closes nothing in a deny. Callers
// may come from elsewhere, so it speaks only of service accounts in namespaces
// that this repository has workloads in, and of namespaces that a known one
// resembles.
func (c *checker) callers() {
	if c.opt.AssumeExternal {
		return
	}
	c.accounts = c.knownCallers()
	for _, p := range c.in.AccessPolicies {
		c.of(p, func() { c.callersIn(p) })
	}
	for _, a := range c.in.Authentications {
		c.callersNamed(a.Origin, a.From)
	}
	for _, a := range c.in.Authorizations {
		c.callersNamed(a.Origin, a.From)
		for _, ref := range a.Requires {
			if ref.Kind == "ServiceAccount" {
				c.callersNamed(a.Origin, []mesh.Source{{ServiceAccounts: []mesh.AccountRef{{Namespace: ref.Namespace, Name: ref.Name, Span: ref.Span}}}})
			}
		}
	}
}

func (c *checker) callersNamed(o mesh.Origin, sources []mesh.Source) {
	for i := range sources {
		c.callersOf(&mesh.AccessPolicy{Origin: o}, &mesh.AccessRule{Span: o.Span}, &sources[i], c.accounts)
	}
}

func (c *checker) callersIn(p *mesh.AccessPolicy) {
	for _, r := range p.Rules {
		for _, sources := range [][]mesh.Source{r.From, r.ExceptFrom} {
			for i := range sources {
				c.callersOf(p, r, &sources[i], c.accounts)
			}
		}
	}
}

// known are the service accounts of each namespace with workloads.
type known map[string]map[string]bool

func (c *checker) knownCallers() known {
	k := known{}
	for _, n := range c.nodes {
		if k[n.doc.Namespace] == nil {
			k[n.doc.Namespace] = map[string]bool{}
		}
		k[n.doc.Namespace][cmp.Or(n.doc.ServiceAccount, "default")] = true
	}
	return k
}

func (c *checker) callersOf(p *mesh.AccessPolicy, r *mesh.AccessRule, s *mesh.Source, k known) {
	for _, a := range slices.Concat(s.ServiceAccounts, s.NotServiceAccounts) {
		switch accounts := k[a.Namespace]; {
		case accounts == nil:
			c.namespaceOf(p, r, a.Namespace, a.Span, k)
		case !accounts[a.Name]:
			c.nobody(p, r, a.Span, fmt.Sprintf("no workload of namespace %s has service account %s", a.Namespace, a.Name),
				suggest(a.Name, slices.Sorted(maps.Keys(accounts))))
		}
	}
	for _, m := range slices.Concat(s.Namespaces, s.NotNamespaces) {
		if m.Kind == mesh.Exact && k[m.Value] == nil {
			c.namespaceOf(p, r, m.Value, m.Span, k)
		}
	}
}

func (c *checker) namespaceOf(p *mesh.AccessPolicy, r *mesh.AccessRule, name string, at source.Span, k known) {
	if fix := suggest(name, slices.Sorted(maps.Keys(k))); fix != nil {
		c.nobody(p, r, at, fmt.Sprintf("no workload of this repository is in namespace %s", name), fix)
	}
}

func (c *checker) nobody(p *mesh.AccessPolicy, r *mesh.AccessRule, at source.Span, message string, fix *diag.Fix) {
	if !at.IsValid() {
		at = r.Span
	}
	report(&c.diags, p.Origin, diag.Diagnostic{Code: SelectsNothing, Severity: diag.Warning, Span: at, Message: message, Fix: fix})
}
