package istio

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// conditionKeys are the keys of `when` that are supported, besides
// request.headers[name].
var conditionKeys = []string{
	"source.ip", "remote.ip", "source.namespace", "source.principal", "source.serviceAccount",
	"destination.ip", "destination.port", "connection.sni", "request.headers[]",
}

// condition reads an entry of `when`. What the model has fields for goes there;
// the entry restricts every alternative of the rule.
func (t *translator) condition(n *load.Node, r *mesh.AccessRule) {
	key := n.TextOf("key")
	yes, no := n.TextsOf("values"), n.TextsOf("notValues")
	if key == "" {
		t.Wrong(t.At(n, "key"), "the condition has no key")
		return
	}
	if len(n.ItemsOf("values"))+len(n.ItemsOf("notValues")) == 0 {
		t.Wrong(n.Span, "condition %s has neither values nor notValues", key)
	}
	switch key {
	case "source.principal":
		r.From = t.withPrincipals(someone(r.From, n), yes, key)
		r.From = t.withoutPrincipals(r.From, no, key)
	case "source.serviceAccount":
		t.accountCondition(n, r, yes, no)
	case "destination.port":
		t.portCondition(n, r)
	case "source.ip", "remote.ip", "destination.ip":
		t.addCondition(n, r, key, t.addresses(yes, key), t.addresses(no, key))
	case "source.namespace", "connection.sni":
		t.addCondition(n, r, key, t.patterns(n, "values"), t.patterns(n, "notValues"))
	default:
		t.otherCondition(n, r, key)
	}
}

func (t *translator) addCondition(n *load.Node, r *mesh.AccessRule, key string, yes, no []mesh.StringMatch) {
	r.When = append(r.When, mesh.Condition{Key: key, Values: yes, NotValues: no, Span: n.Span})
}

// someone is a list of sources that can be restricted.
func someone(from []mesh.Source, n *load.Node) []mesh.Source {
	if len(from) == 0 {
		return []mesh.Source{{Span: n.Span}}
	}
	return from
}

func (t *translator) accountCondition(n *load.Node, r *mesh.AccessRule, yes, no []*load.Node) {
	accounts, not := t.accounts(yes), t.accounts(no)
	r.From = someone(r.From, n)
	for i := range r.From {
		s := &r.From[i]
		if accounts != nil && t.free(len(s.ServiceAccounts), n.Span) {
			s.ServiceAccounts = accounts
		}
		s.NotServiceAccounts = append(s.NotServiceAccounts[:len(s.NotServiceAccounts):len(s.NotServiceAccounts)], not...)
	}
}

func (t *translator) portCondition(n *load.Node, r *mesh.AccessRule) {
	ports, not := t.ports(n, "values"), t.ports(n, "notValues")
	if len(r.To) == 0 {
		r.To = []mesh.Operation{{Span: n.Span}}
	}
	for i := range r.To {
		o := &r.To[i]
		if ports != nil {
			o.Ports = intersect(o.Ports, ports)
			if len(o.Ports) == 0 {
				t.Wrong(n.Span, "the ports of the condition and of the operation have none in common: the rule never matches")
				o.Ports = ports
			}
		}
		o.NotPorts = append(o.NotPorts[:len(o.NotPorts):len(o.NotPorts)], not...)
	}
}

func (t *translator) addresses(list []*load.Node, key string) []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, v := range list {
		for _, block := range t.blocks([]*load.Node{v}, key) {
			out = append(out, mesh.StringMatch{Value: block, Span: v.Span})
		}
	}
	return out
}

// otherCondition reads request.headers[name] and refuses the rest: without the
// condition the rule would be wider.
func (t *translator) otherCondition(n *load.Node, r *mesh.AccessRule, key string) {
	at := t.At(n, "key")
	name, isHeader := strings.CutPrefix(key, "request.headers[")
	name, closed := strings.CutSuffix(name, "]")
	switch {
	case isHeader && closed && translate.Token(name):
		key = "request.headers[" + strings.ToLower(name) + "]"
		t.addCondition(n, r, key, headerValues(n, "values"), headerValues(n, "notValues"))
	case strings.HasPrefix(key, "request.auth."):
		d := t.Unsupported(at, "condition %s: tokens are not verified yet, and without the condition the rule would be wider", key)
		d.SetFix("decide by source.principal or source.namespace")
	case key == "source.trustDomain":
		d := t.Unsupported(at, "condition %s is not supported", key)
		d.SetFix("write key: source.principal, values: [\"the-domain/*\"]")
	case strings.HasPrefix(key, "experimental."):
		t.Unsupported(at, "condition %s is not supported: metadata of other filters is not known", key)
	default:
		d := t.Wrong(at, "condition %q does not exist", key)
		if near := load.Nearest(key, conditionKeys); near != "" {
			d.SetFix("did you mean " + near + "?")
		}
	}
}

// headerValues are patterns in which a * may be a letter ("text/*;q=1").
func headerValues(n *load.Node, key string) []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, v := range n.TextsOf(key) {
		out = append(out, wildcard(v))
	}
	return out
}
