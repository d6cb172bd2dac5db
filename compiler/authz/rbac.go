package authz

import (
	"fmt"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// RBAC is what one inbound port enforces, in this order: Deny denies what it
// matches, then Allow denies what it does not. nil is no filter. Audit only
// logs.
type RBAC struct {
	Deny, Allow, Audit *rbacv3.RBAC
}

// ForInbound returns the RBAC of an inbound port. A rule is one policy, named by
// its id, which Envoy puts into its response details and dynamic metadata.
// Envoy tries policies in the order of names, so the first id is named, as
// everywhere.
func ForInbound(s *check.Settings, in *check.Inbound) (RBAC, error) {
	b := builder{settings: s}
	out := RBAC{
		Deny:  b.rules(rbacv3.RBAC_DENY, in.Access.Deny),
		Audit: b.rules(rbacv3.RBAC_LOG, in.Access.Audit),
	}
	if !in.Access.DefaultAllow {
		// Without any policy this denies everything, which is what is meant.
		out.Allow = &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW}
		if allow := b.rules(rbacv3.RBAC_ALLOW, in.Access.Allow); allow != nil {
			out.Allow = allow
		}
	}
	if len(in.Access.Custom) > 0 {
		b.fail("custom rule %q needs an authorizer", in.Access.Custom[0].ID)
	}
	return out, b.err
}

// builder keeps the first thing it cannot say: a bug of ours, since package
// check refuses such rules.
type builder struct {
	settings *check.Settings
	err      error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("building RBAC: "+format, args...)
	}
}

func (b *builder) rules(action rbacv3.RBAC_Action, rules []*mesh.AccessRule) *rbacv3.RBAC {
	if len(rules) == 0 {
		return nil
	}
	out := &rbacv3.RBAC{Action: action, Policies: make(map[string]*rbacv3.Policy, len(rules))}
	for _, r := range rules {
		if out.Policies[r.ID] != nil {
			b.fail("two rules have the id %q", r.ID)
		}
		out.Policies[r.ID] = b.policy(r)
	}
	return out
}

// policy is one product of principals and permissions. What a rule excepts is
// said of the principal, whose words cover requests as well: an exception is
// about callers and requests together.
func (b *builder) policy(r *mesh.AccessRule) *rbacv3.Policy {
	from := mapped(r.From, b.source)
	if more := append(b.callerConditions(r.When), b.exception(r)...); len(more) > 0 {
		from = []*rbacv3.Principal{ids.and(append(more, ids.anyOf(from)))}
	}
	to := mapped(r.To, operationIn(b, &permissions))
	if more := b.requestConditions(r.When); len(more) > 0 {
		to = []*rbacv3.Permission{permissions.and(append(more, permissions.anyOf(to)))}
	}
	// Envoy's constraints refuse a policy without principals or permissions.
	if len(from) == 0 {
		from = append(from, ids.anything())
	}
	if len(to) == 0 {
		to = append(to, permissions.anything())
	}
	return &rbacv3.Policy{Principals: from, Permissions: to}
}

// exception takes away what both exceptions describe. One that names callers
// never covers those without identity; one that does not covers everyone.
func (b *builder) exception(r *mesh.AccessRule) []*rbacv3.Principal {
	var excepted []*rbacv3.Principal
	if len(r.ExceptFrom) > 0 {
		excepted = append(excepted, identified("spiffe://"), ids.anyOf(mapped(r.ExceptFrom, b.source)))
	}
	if len(r.ExceptTo) > 0 {
		excepted = append(excepted, ids.anyOf(mapped(r.ExceptTo, operationIn(b, &ids))))
	}
	if len(excepted) == 0 {
		return nil
	}
	return []*rbacv3.Principal{ids.not(ids.allOf(excepted))}
}

// source is one alternative of who calls.
func (b *builder) source(s mesh.Source) *rbacv3.Principal {
	var all []*rbacv3.Principal
	yesAndNo(&all, &ids, s.Principals, s.NotPrincipals, identity)
	yesAndNo(&all, &ids, s.ServiceAccounts, s.NotServiceAccounts, b.account)
	yesAndNo(&all, &ids, s.Namespaces, s.NotNamespaces, b.namespace)
	yesAndNo(&all, &ids, s.IPBlocks, s.NotIPBlocks, b.directIP)
	yesAndNo(&all, &ids, s.RemoteIPBlocks, s.NotRemoteIPBlocks, b.remoteIP)
	if s.Meshed {
		all = append(all, identified("spiffe://"+b.settings.TrustDomain+"/"))
	}
	return ids.allOf(all)
}

// operationIn says one alternative of what is asked for, as a permission or as
// a principal.
func operationIn[T any](b *builder, w *words[T]) func(mesh.Operation) T {
	method := func(m mesh.StringMatch) T { return w.header(methodIs(m)) }
	path := func(m mesh.StringMatch) T { return w.path(pathIs(m)) }
	host := func(m mesh.StringMatch) T { return w.header(hostIs(m)) }
	return func(o mesh.Operation) T {
		if len(o.Ports)+len(o.NotPorts) > 0 {
			b.fail("ports of a rule are decided before")
		}
		var all []T
		yesAndNo(&all, w, o.Methods, o.NotMethods, method)
		yesAndNo(&all, w, o.Paths, o.NotPaths, path)
		yesAndNo(&all, w, o.Hosts, o.NotHosts, host)
		for _, h := range o.Headers {
			all = append(all, w.header(headerIs(h)))
		}
		return w.allOf(all)
	}
}
