package xds_test

import (
	"net/http"
	"strings"
	"testing"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

const (
	orderID   = "spiffe://shop.example/ns/shop/sa/order"
	catalogID = "spiffe://shop.example/ns/shop/sa/catalog"
)

// onlyOrder allows what order asks for, except /denied.
func onlyOrder(*check.Workload, *check.Inbound) xds.PortAccess {
	is := func(id string) *rbacconfigv3.Principal {
		return &rbacconfigv3.Principal{Identifier: &rbacconfigv3.Principal_Authenticated_{
			Authenticated: &rbacconfigv3.Principal_Authenticated{PrincipalName: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}}}}}
	}
	denied := &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
		Rule: &matcherv3.PathMatcher_Path{Path: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "/denied"}}}}}}
	anything := &rbacconfigv3.Permission{Rule: &rbacconfigv3.Permission_Any{Any: true}}
	rules := func(action rbacconfigv3.RBAC_Action, what *rbacconfigv3.Permission) *rbacv3.RBAC {
		return &rbacv3.RBAC{Rules: &rbacconfigv3.RBAC{Action: action, Policies: map[string]*rbacconfigv3.Policy{
			"rule": {Permissions: []*rbacconfigv3.Permission{what}, Principals: []*rbacconfigv3.Principal{is(orderID)}}}}}
	}
	return xds.PortAccess{HTTP: []*rbacv3.RBAC{
		rules(rbacconfigv3.RBAC_DENY, denied), rules(rbacconfigv3.RBAC_ALLOW, anything)}}
}

// runCallee starts the proxy of catalog-v1 with an echo as its application.
func runCallee(t *testing.T, m *check.Mesh, ca *authority, identity string) (address string, app *envoytest.Echo) {
	t.Helper()
	app = envoytest.RunEcho(t, "catalog", "v1")
	address, _ = runCalleeOf(t, build(t, m, "shop/catalog-v1", onlyOrder), ca, identity, app.Address())
	return address, app
}

func runCalleeOf(t *testing.T, slice xds.Slice, ca *authority, identity, app string) (string, *envoytest.Envoy) {
	t.Helper()
	envoytest.Require(t)
	address := freeAddress(t)
	cert, key := ca.issue(t, identity)
	return address, envoytest.Run(t, envoytest.Options{
		Args: []string{"--file-flush-interval-msec", "5"}, // the access log, at once
		Bootstrap: static(t, slice, xds.StaticOptions{
			Certificate: cert, Key: key, Roots: ca.roots(),
			Bind:      map[string]string{"inbound|8080": address, "outbound": freeAddress(t)},
			Endpoints: map[string][]string{"inbound|8080": {app}},
		})})
}

func runOrder(t *testing.T, m *check.Mesh, ca *authority, catalog string) *caller {
	t.Helper()
	c := &caller{address: freeAddress(t)}
	cert, key := ca.issue(t, orderID)
	slice := build(t, m, "shop/order", open)
	c.envoy = envoytest.Run(t, envoytest.Options{Bootstrap: static(t, slice, xds.StaticOptions{
		Certificate: cert, Key: key, Roots: ca.roots(),
		Bind:      map[string]string{"outbound": c.address, "inbound|8080": freeAddress(t)},
		Endpoints: map[string][]string{"outbound|8080||catalog.shop": {catalog}},
	})})
	return c
}

func shopMesh(t *testing.T, more ...string) *check.Mesh {
	t.Helper()
	return checked(t, txtar.Parse([]byte(shop+"  rules: [{name: all}]\n"+strings.Join(more, ""))))
}

func TestTwoSidecars(t *testing.T) {
	t.Parallel()
	m, ca := shopMesh(t), newAuthority(t)
	catalog, app := runCallee(t, m, ca, catalogID)
	order := runOrder(t, m, ca, catalog)
	order.want(t, envoytest.Request{Path: "/allowed", Headers: http.Header{"X-Forwarded-Client-Cert": {"URI=spiffe://shop.example/forged"}}}, "v1 /allowed")
	order.want(t, envoytest.Request{Path: "/denied"}, "403")

	got := app.Received()
	if len(got) != 1 {
		t.Fatalf("the application received %d requests, want 1", len(got))
	}
	if xfcc := got[0].Headers.Get("X-Forwarded-Client-Cert"); !strings.Contains(xfcc, "URI="+orderID) || strings.Contains(xfcc, "forged") {
		t.Errorf("x-forwarded-client-cert is %q, want order's identity and nothing else", xfcc)
	}
}

func TestStrictPortRefusesStrangers(t *testing.T) {
	t.Parallel()
	m, ca := shopMesh(t), newAuthority(t)
	catalog, app := runCallee(t, m, ca, catalogID)
	other := newAuthority(t)
	for name, r := range map[string]envoytest.Request{
		"plaintext":          {},
		"no certificate":     {TLS: ca.client(t, "")},
		"foreign authority":  {TLS: other.client(t, orderID)},
		"other trust domain": {TLS: ca.client(t, "spiffe://shop.example.evil/ns/shop/sa/order")},
	} {
		if response, err := envoytest.Send(t.Context(), catalog, r); err == nil {
			t.Errorf("%s: answered %d, want a refused connection", name, response.Status)
		}
	}
	for identity, want := range map[string]int{orderID: 200, catalogID: 403} {
		response, err := envoytest.Send(t.Context(), catalog, envoytest.Request{TLS: ca.client(t, identity)})
		if err != nil || response.Status != want {
			t.Errorf("%s: status %d, error %v, want %d", identity, response.Status, err, want)
		}
	}
	if n := app.Count("", ""); n != 1 {
		t.Errorf("the application received %d requests, want order's alone", n)
	}
}

func TestCallerRefusesWrongIdentity(t *testing.T) {
	t.Parallel()
	m, ca := shopMesh(t), newAuthority(t)
	catalog, app := runCallee(t, m, ca, "spiffe://shop.example/ns/shop/sa/payment")
	runOrder(t, m, ca, catalog).want(t, envoytest.Request{Path: "/"}, "503")
	if n := app.Count("", ""); n != 0 {
		t.Errorf("the application received %d requests through a proxy with another identity", n)
	}
}

func TestPermissivePortTakesBoth(t *testing.T) {
	t.Parallel()
	m := shopMesh(t, `
-- permissive.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: AuthenticationPolicy
metadata: {name: catalog, namespace: shop}
spec: {service: catalog, mtls: {mode: permissive, expires: "2030-01-01T00:00:00Z"}}
`)
	ca := newAuthority(t)
	catalog, _ := runCallee(t, m, ca, catalogID)
	for name, test := range map[string]struct {
		request envoytest.Request
		want    int
	}{
		"plaintext has no identity": {envoytest.Request{}, 403},
		"order over mTLS":           {envoytest.Request{TLS: ca.client(t, orderID)}, 200},
	} {
		response, err := envoytest.Send(t.Context(), catalog, test.request)
		if err != nil || response.Status != test.want {
			t.Errorf("%s: status %d, error %v, want %d", name, response.Status, err, test.want)
		}
	}
	runOrder(t, m, ca, catalog).want(t, envoytest.Request{Path: "/mesh"}, "v1 /mesh")
}
