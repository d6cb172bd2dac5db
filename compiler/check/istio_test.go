package check_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func istioOrigin(kind, namespace, name string) mesh.Origin {
	return mesh.Origin{Dialect: mesh.Istio, Kind: kind, Namespace: namespace, Name: name}
}

// bookinfo is a Kubernetes service of two versions with Istio's defaults.
func bookinfo() *mesh.Fragment {
	k := func(kind, name string) mesh.Origin {
		return mesh.Origin{Dialect: mesh.Kubernetes, Kind: kind, Namespace: "shop", Name: name}
	}
	labels := func(v string) map[string]string { return map[string]string{"app": "reviews", "version": v} }
	return &mesh.Fragment{
		Meshes: []*mesh.Settings{{Defaults: mesh.Istio, TrustDomain: "td"}},
		Services: []*mesh.Service{{
			Origin: k("Service", "reviews"), Selector: map[string]string{"app": "reviews"},
			Ports: []mesh.ServicePort{{Name: "http", Number: 80, TargetName: "web", Protocol: mesh.HTTP}, {Name: "db", Number: 90, Protocol: mesh.TCP}},
		}},
		Workloads: []*mesh.Workload{
			{Origin: k("Deployment", "reviews-v1"), Labels: labels("v1"), Ports: []mesh.WorkloadPort{{Name: "web", Number: 8080}}},
			{Origin: k("Deployment", "reviews-v2"), Labels: labels("v2"), Ports: []mesh.WorkloadPort{{Name: "web", Number: 8081}}},
		},
	}
}

func virtualService(name string, exportTo []string, rules ...*mesh.Rule) *mesh.Fragment {
	return &mesh.Fragment{Routes: []*mesh.Route{{
		Origin:  istioOrigin("VirtualService", "shop", name),
		Targets: []mesh.RouteTarget{{Ref: mesh.Ref{Host: "reviews", Namespace: "shop"}}}, ExportTo: exportTo,
		Rules: rules,
	}}}
}

func subsets() *mesh.Fragment {
	return &mesh.Fragment{TrafficPolicies: []*mesh.TrafficPolicy{{
		Origin: istioOrigin("DestinationRule", "shop", "reviews"), Target: mesh.Ref{Host: "reviews.shop.svc.cluster.local"},
		Versions: []mesh.VersionPolicy{
			{Name: "one", Labels: map[string]string{"version": "v1"}}, {Name: "two", Labels: map[string]string{"version": "v2"}},
		},
	}}}
}

func to(host, subset string, weight uint32) mesh.Destination {
	return mesh.Destination{Service: &mesh.Ref{Host: host, Namespace: "shop"}, Version: subset, Weight: weight, HasWeight: weight > 0}
}

func run(t *testing.T, fragments ...*mesh.Fragment) *check.Mesh {
	t.Helper()
	m, diags := check.Run(fragments, check.Options{})
	if diags.HasErrors() {
		t.Fatal(text(diags))
	}
	return m
}

func codes(diags diag.List) []diag.Code {
	var out []diag.Code
	for _, d := range diags {
		out = append(out, d.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The defaults of Istio hold without any policy: two retries, no timeout, no
// thresholds, no outlier detection, permissive mTLS, access allowed.
func TestIstioDefaults(t *testing.T) {
	m := run(t, bookinfo())
	port := m.Service("shop/reviews").Port(80)
	rule, backend := port.Rules[0], port.Backends[0]
	want := &mesh.Retry{
		Attempts: 2, AvoidPreviousHosts: true,
		Conditions: []string{"connect-failure", "refused-stream", "unavailable", "cancelled"},
	}
	if diff := cmp.Diff(want, rule.Retry); diff != "" || rule.Timeout != 0 || !rule.Default {
		t.Errorf("default rule %+v, retry (-want +got):\n%s", rule, diff)
	}
	unlimited := check.Thresholds{MaxConnections: 1<<32 - 1, MaxPendingRequests: 1<<32 - 1, MaxRequests: 1<<32 - 1, MaxRetries: 1<<32 - 1}
	if backend.Traffic.CircuitBreaker != unlimited || backend.Traffic.OutlierDetection != nil || *backend.Traffic.Connections.ConnectTimeout != 10*time.Second {
		t.Errorf("traffic %+v", backend.Traffic)
	}
	if backend.TLS != check.TLSMesh || !slices.Equal(backend.Identities, []string{"spiffe://td/ns/shop/sa/default"}) {
		t.Errorf("tls %v to %v", backend.TLS, backend.Identities)
	}
	v2 := m.Workload("shop/reviews-v2")
	if v2.Inbound[1].Port != 8081 || v2.Inbound[1].MTLS != mesh.MTLSPermissive || !v2.Inbound[1].Access.DefaultAllow {
		t.Errorf("inbound %+v", v2.Inbound[1])
	}
	if m.Service("shop/reviews").Port(90).Rules[0].Retry != nil {
		t.Error("a TCP port retries")
	}
}

// Istio's weights are relative, zero ones are dropped, subsets come from
// DestinationRules alone, and attempts 0 means none.
func TestIstioRoute(t *testing.T) {
	m := run(t, bookinfo(), subsets(), virtualService("reviews", nil, &mesh.Rule{
		ID: "a", Retry: &mesh.Retry{}, To: []mesh.Destination{to("reviews", "one", 9), to("reviews.shop", "two", 10), to("reviews", "one", 0)},
	}))
	rules := m.Service("shop/reviews").Port(80).Rules
	if len(rules) != 1 || len(rules[0].To) != 2 || rules[0].TotalWeight() != 19 || rules[0].Retry != nil {
		t.Fatalf("rules %+v", rules)
	}
	if b := rules[0].To[1].Backend; b.Version != "two" || len(b.Workloads) != 1 || b.Workloads[0].Name != "reviews-v2" {
		t.Errorf("subset two is %+v", b)
	}
	_, diags := check.Run([]*mesh.Fragment{bookinfo(), subsets(), virtualService("reviews", nil,
		&mesh.Rule{ID: "label", To: []mesh.Destination{to("reviews", "v1", 0)}},
		&mesh.Rule{ID: "zero", To: []mesh.Destination{to("reviews", "one", 0), to("reviews", "two", 0)}},
		&mesh.Rule{ID: "overflow", To: []mesh.Destination{to("reviews", "one", 1<<31), to("reviews", "two", 1<<31)}},
	)}, check.Options{})
	if diff := cmp.Diff([]diag.Code{check.UnknownVersion, check.Weights}, codes(diags)); diff != "" || diags.Count(diag.Error) != 3 {
		t.Errorf("%s\n%s", diff, text(diags))
	}
}

// A VirtualService that is exported to one namespace hides nothing from others.
func TestIstioExportTo(t *testing.T) {
	private := virtualService("private", []string{"."}, &mesh.Rule{ID: "private", Matches: []mesh.Match{{Methods: []mesh.StringMatch{{Value: "GET"}}}}, To: []mesh.Destination{to("reviews.shop.svc.cluster.local", "", 0)}})
	public := virtualService("public", nil, &mesh.Rule{ID: "public", To: []mesh.Destination{to("reviews.shop.svc.cluster.local", "", 0)}})
	m := run(t, bookinfo(), public, private)
	var ids []string
	shop := m.Workload("shop/reviews-v1")
	for _, r := range m.Service("shop/reviews").Port(80).Rules {
		if len(r.MatchesFor(shop)) > 0 {
			ids = append(ids, "shop:"+r.ID)
		}
		if len(r.MatchesFor(&check.Workload{Namespace: "other"})) > 0 {
			ids = append(ids, "other:"+r.ID)
		}
	}
	want := []string{"shop:private", "shop:VirtualService/shop/private/unmatched", "shop:public", "other:public"}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("rules by client (-want +got):\n%s", diff)
	}
	_, diags := check.Run([]*mesh.Fragment{bookinfo(), public, virtualService("second", nil)}, check.Options{})
	if diff := cmp.Diff([]diag.Code{check.DuplicateHost}, codes(diags)); diff != "" {
		t.Errorf("two public routes: %s\n%s", diff, text(diags))
	}
}

// A host that only a VirtualService names is a service of its own, with the
// ports of its destinations.
func TestIstioVirtualHost(t *testing.T) {
	vs := virtualService("front", nil, &mesh.Rule{ID: "a", To: []mesh.Destination{{Service: &mesh.Ref{Host: "reviews"}, Port: 80}}})
	vs.Routes[0].Targets[0].Host = "front"
	m := run(t, bookinfo(), vs)
	s := m.Service("shop/front")
	if s == nil || !s.Virtual || len(s.Ports) != 1 || s.Ports[0].Number != 80 || len(s.Ports[0].Rules) != 1 {
		t.Fatalf("service %+v", s)
	}
	if !s.ShortName || s.Hosts[0] != "front.shop" {
		t.Errorf("hosts %v", s.Hosts)
	}
}

// DestinationRule: a subset overrides field by field, a port's settings stand
// for all; outlier detection turns panic off.
func TestIstioTraffic(t *testing.T) {
	dr := subsets()
	p := dr.TrafficPolicies[0]
	limit := func(n uint32) *mesh.CircuitBreaker { return &mesh.CircuitBreaker{MaxRequests: &n} }
	p.CircuitBreaker = limit(1)
	p.LoadBalancing = &mesh.LoadBalancing{Policy: "random"}
	p.Ports = []mesh.PortPolicy{{Port: 90, TrafficSettings: mesh.TrafficSettings{OutlierDetection: &mesh.OutlierDetection{}}}}
	p.Versions[0].CircuitBreaker = limit(2)
	m := run(t, bookinfo(), dr)
	http, tcp := m.Service("shop/reviews").Port(80), m.Service("shop/reviews").Port(90)
	one := http.Backend("one").Traffic
	if one.CircuitBreaker.MaxRequests != 2 || one.LoadBalancing.Policy != "random" {
		t.Errorf("subset one: %+v", one)
	}
	if got := http.Backend("two").Traffic.CircuitBreaker.MaxRequests; got != 1 {
		t.Errorf("subset two: %d requests", got)
	}
	all := tcp.Backend("").Traffic
	if all.LoadBalancing.Policy != "least-request" || all.CircuitBreaker.MaxRequests != 1<<32-1 {
		t.Errorf("port 90 keeps what its own settings replace: %+v", all)
	}
	if all.OutlierDetection == nil || *all.OutlierDetection.MaxEjectionPercent != 10 || all.PanicPercent == nil || *all.PanicPercent != 0 {
		t.Errorf("port 90: outlier %+v, panic %v", all.OutlierDetection, all.PanicPercent)
	}
}

// AuthorizationPolicy: an ALLOW policy closes what it selects; ports are those
// of the workload; on a TCP port an ALLOW about requests is dropped and a DENY
// covers the whole port.
func TestIstioAccess(t *testing.T) {
	get := mesh.Operation{Methods: []mesh.StringMatch{{Value: "GET"}}}
	policy := func(action mesh.AccessAction, ops ...mesh.Operation) *mesh.Fragment {
		return &mesh.Fragment{AccessPolicies: []*mesh.AccessPolicy{{
			Origin: istioOrigin("AuthorizationPolicy", "shop", string(action)), Target: mesh.Target{Selector: map[string]string{"version": "v1"}},
			Rules: []*mesh.AccessRule{{ID: string(action), Action: action, To: ops}},
		}}}
	}
	m, diags := check.Run([]*mesh.Fragment{bookinfo(), policy(mesh.Allow, get, mesh.Operation{Ports: []uint32{8080}}), policy(mesh.Deny, get)}, check.Options{})
	if diff := cmp.Diff([]diag.Code{check.HTTPOnly}, codes(diags)); diff != "" || diags.HasErrors() {
		t.Errorf("%s\n%s", diff, text(diags))
	}
	tcp, http := m.Workload("shop/reviews-v1").Inbound[0], m.Workload("shop/reviews-v1").Inbound[1]
	if tcp.Port != 90 || len(tcp.Access.Allow) != 0 || len(tcp.Access.Deny) != 1 || len(tcp.Access.Deny[0].To) != 1 || tcp.Access.Deny[0].To[0].IsHTTP() {
		t.Errorf("tcp: %+v", tcp.Access)
	}
	if http.Access.DefaultAllow || len(http.Access.Allow[0].To) != 2 || len(http.Access.Allow[0].To[1].Ports) != 0 {
		t.Errorf("http: %+v", http.Access)
	}
	if other := m.Workload("shop/reviews-v2").Inbound[0]; !other.Access.DefaultAllow || len(other.Access.Deny) != 0 {
		t.Errorf("another workload: %+v", other.Access)
	}
}

// STRICT against DISABLE is an error; permissive lets it pass as plaintext.
func TestIstioMTLS(t *testing.T) {
	dr := subsets()
	dr.TrafficPolicies[0].TLS = &mesh.ClientTLS{Mode: "disable"}
	strict := &mesh.Fragment{PeerPolicies: []*mesh.PeerPolicy{{
		Origin: istioOrigin("PeerAuthentication", "shop", "default"), Target: mesh.Target{NamespaceWide: true}, Mode: mesh.MTLSStrict,
	}}}
	_, diags := check.Run([]*mesh.Fragment{bookinfo(), dr, strict}, check.Options{})
	if diff := cmp.Diff([]diag.Code{check.MTLSConflict}, codes(diags)); diff != "" {
		t.Errorf("%s\n%s", diff, text(diags))
	}
	if tls := run(t, bookinfo(), dr).Service("shop/reviews").Port(80).Backends[0].TLS; tls != check.TLSPlain {
		t.Errorf("permissive and disable: %s", tls)
	}
}

// Istio lets any namespace rule another's host: a warning, unless the owner grants it,
// it holds for nobody else's calls, or the document is the mesh's.
func TestIstioForeign(t *testing.T) {
	route := func(namespace string, exportTo ...string) *mesh.Fragment {
		f := virtualService("reviews", exportTo, &mesh.Rule{Name: "all", To: []mesh.Destination{to("reviews.shop.svc.cluster.local", "", 0)}})
		f.Routes[0].Namespace, f.Routes[0].Targets[0].Host = namespace, "reviews.shop.svc.cluster.local"
		return f
	}
	policy := subsets()
	policy.TrafficPolicies[0].Namespace = "evil"
	grant := &mesh.Fragment{Grants: []*mesh.Grant{{Origin: mesh.Origin{Kind: "Grant", Namespace: "shop", Name: "g"}, From: []string{"evil"}}}}
	for name, test := range map[string]struct {
		of   []*mesh.Fragment
		want []diag.Code
	}{
		"own":         {[]*mesh.Fragment{route("shop")}, nil},
		"foreign":     {[]*mesh.Fragment{route("evil")}, []diag.Code{check.MissingGrant}},
		"own calls":   {[]*mesh.Fragment{route("evil", ".")}, nil},
		"granted":     {[]*mesh.Fragment{route("evil"), grant}, nil},
		"root":        {[]*mesh.Fragment{route(mesh.RootNamespace)}, nil},
		"destination": {[]*mesh.Fragment{policy}, []diag.Code{check.MissingGrant}},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := check.Run(append(test.of, bookinfo()), check.Options{})
			if diags.HasErrors() {
				t.Error(text(diags))
			}
			if diff := cmp.Diff(test.want, codes(diags)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, text(diags))
			}
		})
	}
}
