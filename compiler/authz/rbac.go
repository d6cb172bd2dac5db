package authz

import (
	"fmt"
	"strings"

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

// ForInbound returns the RBAC of an inbound port. Policies are named by rule
// id, which Envoy puts into its response details and dynamic metadata.
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
		b.add(out.Policies, r)
	}
	return out
}

// add writes a rule's policies. "from and to, except from and to" is
// "from and not except-from, to" or "from, to and not except-to": with both
// exceptions a rule becomes two policies, since a policy is one product of
// permissions and principals.
func (b *builder) add(policies map[string]*rbacv3.Policy, r *mesh.AccessRule) {
	from, to := b.principals(r.From), b.permissions(r.To, r.When)
	when := b.conditions(r.When)
	if len(when) > 0 {
		from = []*rbacv3.Principal{andIDs(append(when, orIDs(from)))}
	}
	// An exception that names callers never covers those without identity.
	notFrom := func() []*rbacv3.Principal {
		excepted := andIDs([]*rbacv3.Principal{authenticated(nil), orIDs(b.principals(r.ExceptFrom))})
		return []*rbacv3.Principal{andIDs([]*rbacv3.Principal{orIDs(from), notID(excepted)})}
	}
	notTo := func() []*rbacv3.Permission {
		excepted := orRules(b.permissions(r.ExceptTo, nil))
		return []*rbacv3.Permission{andRules([]*rbacv3.Permission{orRules(to), notRule(excepted)})}
	}
	hasFrom, hasTo := len(r.ExceptFrom) > 0, len(r.ExceptTo) > 0
	switch {
	case hasFrom && hasTo:
		policies[r.ID] = &rbacv3.Policy{Principals: notFrom(), Permissions: to}
		policies[r.ID+"|except-to"] = &rbacv3.Policy{Principals: from, Permissions: notTo()}
	case hasFrom:
		policies[r.ID] = &rbacv3.Policy{Principals: notFrom(), Permissions: to}
	case hasTo:
		policies[r.ID] = &rbacv3.Policy{Principals: from, Permissions: notTo()}
	default:
		policies[r.ID] = &rbacv3.Policy{Principals: from, Permissions: to}
	}
}

// principals returns the alternatives; no sources are anyone.
func (b *builder) principals(sources []mesh.Source) []*rbacv3.Principal {
	if len(sources) == 0 {
		return []*rbacv3.Principal{anyID()}
	}
	out := make([]*rbacv3.Principal, len(sources))
	for i := range sources {
		out[i] = b.principal(&sources[i])
	}
	return out
}

func (b *builder) principal(s *mesh.Source) *rbacv3.Principal {
	var all []*rbacv3.Principal
	both := func(yes, no []*rbacv3.Principal) {
		if len(yes) > 0 {
			all = append(all, orIDs(yes))
		}
		if len(no) > 0 {
			all = append(all, notID(orIDs(no)))
		}
	}
	both(mapped(s.Principals, identity), mapped(s.NotPrincipals, identity))
	both(mapped(s.ServiceAccounts, b.account), mapped(s.NotServiceAccounts, b.account))
	both(mapped(s.Namespaces, b.namespace), mapped(s.NotNamespaces, b.namespace))
	both(mapped(s.IPBlocks, b.directIP), mapped(s.NotIPBlocks, b.directIP))
	both(mapped(s.RemoteIPBlocks, b.remoteIP), mapped(s.NotRemoteIPBlocks, b.remoteIP))
	if s.Meshed {
		all = append(all, identity(mesh.StringMatch{Kind: mesh.Prefix, Value: "spiffe://" + b.settings.TrustDomain + "/"}))
	}
	return andIDs(all)
}

// permissions returns the alternatives; no operations are anything.
func (b *builder) permissions(ops []mesh.Operation, when []mesh.Condition) []*rbacv3.Permission {
	out := make([]*rbacv3.Permission, 0, max(1, len(ops)))
	for i := range ops {
		out = append(out, b.permission(&ops[i]))
	}
	if len(out) == 0 {
		out = append(out, anyRule())
	}
	if extra := b.permissionConditions(when); len(extra) > 0 {
		out = []*rbacv3.Permission{andRules(append(extra, orRules(out)))}
	}
	return out
}

func (b *builder) permission(o *mesh.Operation) *rbacv3.Permission {
	var all []*rbacv3.Permission
	both := func(yes, no []*rbacv3.Permission) {
		if len(yes) > 0 {
			all = append(all, orRules(yes))
		}
		if len(no) > 0 {
			all = append(all, notRule(orRules(no)))
		}
	}
	both(mapped(o.Ports, destinationPort), mapped(o.NotPorts, destinationPort))
	both(mapped(o.Methods, method), mapped(o.NotMethods, method))
	both(mapped(o.Paths, path), mapped(o.NotPaths, path))
	both(mapped(o.Hosts, host), mapped(o.NotHosts, host))
	for _, h := range o.Headers {
		all = append(all, header(h))
	}
	return andRules(all)
}

func mapped[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// RuleID returns the rule's id of a policy's name, which may carry a suffix.
func RuleID(policy string) string {
	id, _, _ := strings.Cut(policy, "|")
	return id
}
