package linkerd

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// serviceProfile reads the routes of one service, which are tried in order. What none
// matches goes to the service without timeout or retries.
func (t *translator) serviceProfile(spec *load.Node) {
	service, ok := t.profiled()
	if !ok {
		return
	}
	route := &mesh.Route{Origin: t.Origin, Targets: []mesh.RouteTarget{{Ref: service}}, Supersedes: true}
	to := t.overrides(spec)
	seen := map[string]source.Span{}
	for i, n := range items(spec, "routes") {
		name := n.TextOf("name")
		if first, again := seen[name]; again {
			d := t.Wrong(t.At(n, "name"), "route %q is written twice", name)
			d.Related = []diag.Related{{Span: first, Message: "first here"}}
			continue
		}
		seen[name] = t.At(n, "name")
		if rule := t.profileRule(n, "#"+strconv.Itoa(i+1), to); rule != nil {
			route.Rules = append(route.Rules, rule)
		}
	}
	route.Rules = append(route.Rules, &mesh.Rule{
		ID: t.ID() + "/default", Name: "default", Span: t.Origin.Span, To: to, Timeout: &mesh.Timeout{Span: t.Origin.Span},
	})
	t.out.Routes = []*mesh.Route{route}
	t.retryBudget(spec, service, route)
}

// profiled is the service that the profile's name says: service.namespace.svc.domain.
func (t *translator) profiled() (mesh.Ref, bool) {
	at := t.Origin.Span
	parts := strings.SplitN(t.Name, ".", 4)
	if len(parts) < 4 || parts[2] != "svc" {
		d := t.Unsupported(at, "the ServiceProfile %s is about no service of the cluster: its name is none of the form SERVICE.NAMESPACE.svc.cluster.local", t.Name)
		d.SetFix("declare a host outside the cluster with an ExternalService, and its routes with a MeshRoute")
		return mesh.Ref{}, false
	}
	if parts[1] != t.Namespace {
		d := t.Unsupported(at, "a ServiceProfile of namespace %s for a service of %s, which clients of its own namespace would take, is not supported", t.Namespace, parts[1])
		d.SetFix("write it in namespace " + parts[1] + ", for every client")
		return mesh.Ref{}, false
	}
	return mesh.Ref{Name: parts[0], Namespace: parts[1], Span: at}, true
}

// profileRetries bounds what Linkerd bounds by the budget alone.
const profileRetries = 3

// profileConditions are the failures of Linkerd's default response classes: a 5xx, and
// of gRPC the statuses that say the server failed.
var profileConditions = []string{"5xx", "internal", "unavailable", "deadline-exceeded"}

func (t *translator) profileRule(n *load.Node, number string, to []mesh.Destination) *mesh.Rule {
	matches, ok := t.condition(n.Get("condition"))
	if !ok || n.Get("condition") == nil {
		return nil
	}
	r := &mesh.Rule{
		ID: t.ID() + "/" + number, Name: n.TextOf("name"), Span: t.At(n, "name"), Matches: matches, To: to,
		Timeout: &mesh.Timeout{Span: t.At(n, "name")}, // no default timeout (profile_translator.go)
	}
	if d := t.Duration(n, "timeout", 0); d != nil {
		r.Timeout = &mesh.Timeout{Value: *d, Span: t.At(n, "timeout")}
	}
	classes := n.Field("responseClasses")
	if n.IsTrue("isRetryable") {
		r.Retry = &mesh.Retry{Attempts: profileRetries, Conditions: profileConditions, Safe: true, Span: t.At(n, "isRetryable")}
	}
	switch {
	case classes == nil || len(items(n, "responseClasses")) == 0:
	case r.Retry != nil:
		d := t.Unsupported(classes.KeySpan, "responseClasses that decide what is repeated are not supported: 5xx would be")
		d.SetFix("remove it, or write a MeshRoute with retry.statuses")
	default:
		t.Add(translate.CodeUnsupported, diag.Warning, classes.KeySpan, "responseClasses are not read: metrics count a 5xx as a failure")
	}
	return r
}

// maxMatches bounds what a condition becomes as a list of alternatives.
const maxMatches = 64

// condition reads a request match as alternatives, in each of which all must hold.
func (t *translator) condition(n *load.Node) ([]mesh.Match, bool) {
	if n == nil || n.Kind != load.Map {
		return nil, false
	}
	out := []mesh.Match{{Span: n.Span}}
	if len(n.Fields) == 0 {
		t.Wrong(n.Span, "the condition is empty: it would match every request")
		return nil, false
	}
	if f := n.Field("not"); f != nil {
		d := t.Unsupported(f.KeySpan, "condition not is not supported")
		d.SetFix("write a route for what it excludes in front of this one: routes are tried in order")
		return nil, false
	}
	if v := n.Get("pathRegex"); v != nil && v.Kind == load.String {
		path := strings.TrimSuffix(strings.TrimPrefix(v.Text, "^"), "$") // always the whole path
		out[0].Path = &mesh.StringMatch{Kind: mesh.Regex, Value: path, Span: v.Span}
	}
	if v := n.Get("method"); v != nil && v.Kind == load.String {
		if v.Text == "" || strings.ToUpper(v.Text) != v.Text || strings.ContainsAny(v.Text, " *") {
			t.Wrong(v.Span, "method %q: want one such as GET, in upper case", v.Text)
			return nil, false
		}
		out[0].Methods = []mesh.StringMatch{{Value: v.Text, Span: v.Span}}
	}
	for _, item := range items(n, "all") {
		more, ok := t.condition(item)
		if out, ok = t.both(out, more, ok, item.Span); !ok {
			return nil, false
		}
	}
	if len(items(n, "any")) > 0 {
		var either []mesh.Match
		for _, item := range items(n, "any") {
			more, ok := t.condition(item)
			if !ok {
				return nil, false
			}
			either = append(either, more...)
		}
		var ok bool
		if out, ok = t.both(out, either, true, n.Get("any").Span); !ok {
			return nil, false
		}
	}
	return out, true
}

// both are the alternatives in which one of each list holds.
func (t *translator) both(a, b []mesh.Match, ok bool, at source.Span) ([]mesh.Match, bool) {
	if !ok {
		return nil, false
	}
	if len(a)*len(b) > maxMatches {
		t.Unsupported(at, "the condition has more than %d alternatives", maxMatches)
		return nil, false
	}
	var out []mesh.Match
	for _, x := range a {
		for _, y := range b {
			m := x
			switch {
			case x.Path != nil && y.Path != nil, len(x.Methods) > 0 && len(y.Methods) > 0:
				d := t.Unsupported(at, "two conditions on the path, or on the method, that must both hold are not supported")
				d.SetFix("write one expression")
				return nil, false
			case y.Path != nil:
				m.Path = y.Path
			}
			if len(y.Methods) > 0 {
				m.Methods = y.Methods
			}
			out = append(out, m)
		}
	}
	return out, true
}

// overrides are the weighted services that answer instead.
func (t *translator) overrides(spec *load.Node) []mesh.Destination {
	var out []mesh.Destination
	for _, n := range items(spec, "dstOverrides") {
		host, number, hasPort := strings.Cut(n.TextOf("authority"), ":")
		parts := strings.SplitN(strings.TrimSuffix(host, "."), ".", 4)
		port, ok := portNumber(number)
		if len(parts) < 2 || len(parts) > 2 && parts[2] != "svc" || hasPort && !ok {
			t.Wrong(t.At(n, "authority"), "authority %q: want SERVICE.NAMESPACE.svc.cluster.local:PORT", n.TextOf("authority"))
			continue
		}
		d := mesh.Destination{
			Service: &mesh.Ref{Name: parts[0], Namespace: parts[1], Span: t.At(n, "authority")},
			Port:    port, PortAt: t.At(n, "authority"), HasWeight: true, Span: n.Span,
		}
		d.Weight, ok = t.quantity(n, "weight")
		d.FaultyWeight = !ok
		out = append(out, d)
	}
	return out
}

// quantity reads Kubernetes' number as far as weights have it: 3, or "500m", which
// is half of one. All weights are counted in thousandths.
func (t *translator) quantity(n *load.Node, key string) (uint32, bool) {
	v := n.Get(key)
	if v == nil || v.Kind != load.Int && v.Kind != load.String {
		return 0, false
	}
	digits, milli := strings.CutSuffix(v.Text, "m")
	number, err := strconv.ParseUint(digits, 10, 32)
	if !milli {
		number *= 1000
	}
	if err != nil || number > 1_000_000_000 {
		t.Wrong(v.Span, "%s %q: want a number of 0 to 1000000, or thousandths such as 500m", key, v.Text)
		return 0, false
	}
	return uint32(number), true
}

// retryBudget of the service. Linkerd counts retries against the requests of the last
// seconds, Envoy against those that are active.
func (t *translator) retryBudget(spec *load.Node, service mesh.Ref, route *mesh.Route) {
	budget := &mesh.RetryBudget{Percent: 20, MinRetryConcurrency: 10, Span: t.Origin.Span} // Linkerd's (profile_watcher.go, defaultRetryBudget)
	n := spec.Get("retryBudget")
	if n == nil && !slices.ContainsFunc(route.Rules, func(r *mesh.Rule) bool { return r.Retry != nil }) {
		return
	}
	if n != nil && n.Kind == load.Map {
		budget.Span = n.Span
		t.budget(n, budget)
	}
	t.out.TrafficPolicies = []*mesh.TrafficPolicy{{Origin: t.Origin, Target: service, TrafficSettings: mesh.TrafficSettings{RetryBudget: budget}}}
}

func (t *translator) budget(n *load.Node, b *mesh.RetryBudget) {
	if v := n.Get("retryRatio"); v != nil && (v.Kind == load.Int || v.Kind == load.Float) {
		ratio, err := strconv.ParseFloat(v.Text, 64)
		if err != nil || !(0 <= ratio && ratio <= 1) {
			t.Wrong(v.Span, "retryRatio %s: want 0 to 1", v.Text)
		} else {
			b.Percent = math.Round(ratio*100*1000) / 1000
		}
	}
	if v := n.Get("minRetriesPerSecond"); v != nil && v.Kind == load.Int {
		number, err := strconv.ParseUint(v.Text, 10, 31)
		if err != nil {
			t.Wrong(v.Span, "minRetriesPerSecond %s: want 0 or more", v.Text)
		} else {
			b.MinRetryConcurrency = uint32(number)
		}
	}
	t.Duration(n, "ttl", time.Millisecond)
	t.Add(translate.CodeUnsupported, diag.Info, n.Span,
		"the budget is a share of the requests that are active, and minRetriesPerSecond bounds retries at a time: there is no ttl")
}
