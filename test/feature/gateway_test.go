package feature_test

import (
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// enters asks for something at the gateway shop/edge.
func enters(t *testing.T, m *check.Mesh, running *meshtest.Mesh, r reach.Request, change func(*reach.Result)) meshtest.Observation {
	t.Helper()
	r.Gateway = "shop/edge"
	want, err := reach.Evaluate(m, r)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&want)
	}
	got, err := running.Ask(t.Context(), &want)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// showGatewayHeaders: what a client writes of itself is not passed on as a proxy's
// word.
func showGatewayHeaders(t *testing.T, m *check.Mesh, running *meshtest.Mesh) {
	got := enters(t, m, running, reach.Request{To: "shop.example:80", Path: "/items", Headers: map[string][]string{
		"host": {"shop.example"}, "x-forwarded-client-cert": {"URI=spiffe://shop.example/ns/shop/sa/admin"},
		"x-forwarded-for": {"10.0.0.1"}, "x-forwarded-proto": {"https"}, "x-envoy-retry-on": {"5xx"},
	}}, nil)
	if got.Received == nil {
		t.Fatalf("nobody received it: %s", &got)
	}
	h := got.Received.Headers
	if xfcc := h.Get("x-forwarded-client-cert"); strings.Contains(xfcc, "admin") || !strings.Contains(xfcc, "sa/edge") {
		t.Errorf("x-forwarded-client-cert %q: want the gateway's own identity alone", xfcc)
	}
	if xff := h.Get("x-forwarded-for"); !strings.HasPrefix(xff, "10.0.0.1,") || strings.HasSuffix(xff, ",") {
		t.Errorf("x-forwarded-for %q: want the address of the connection behind what the client wrote", xff)
	}
	if h.Get("x-forwarded-proto") != "http" || h.Get("x-envoy-retry-on") != "" {
		t.Errorf("x-forwarded-proto %q, x-envoy-retry-on %q: want http and none", h.Get("x-forwarded-proto"), h.Get("x-envoy-retry-on"))
	}
}

// showCertificates: the server name chooses the certificate, and a client's own is
// held to the CA and the names of the listener.
func showCertificates(t *testing.T, m *check.Mesh, running *meshtest.Mesh) {
	for host, want := range map[string]string{"shop.example": "shop", "a.shop.example": "tenants", "maybe.shop.example": "partners"} {
		if got := enters(t, m, running, reach.Request{To: host + ":443"}, nil); got.Certificate != want {
			t.Errorf("%s shows the certificate %q, want %q", host, got.Certificate, want)
		}
	}
	other := func(change func(*mesh.ServerTLS)) func(*reach.Result) {
		return func(r *reach.Result) {
			l, tls := *r.Entry.Listener, *r.Entry.Listener.TLS
			change(&tls)
			l.TLS, r.Entry.Listener = &tls, &l
		}
	}
	for name, change := range map[string]func(*mesh.ServerTLS){
		"another CA":   func(t *mesh.ServerTLS) { t.ClientCA = &mesh.FileRef{Name: "strangers"} },
		"another name": func(t *mesh.ServerTLS) { t.SubjectAltNames = []mesh.StringMatch{{Value: "stranger.example"}} },
	} {
		r := reach.Request{To: "partners.shop.example:443", ClientCertificate: true}
		if got := enters(t, m, running, r, other(change)); got.Refused == "" {
			t.Errorf("a client's certificate with %s is taken: %s", name, &got)
		}
	}
	r := reach.Request{To: "maybe.shop.example:443", ClientCertificate: true}
	if got := enters(t, m, running, r, other(func(t *mesh.ServerTLS) { t.ClientCA = &mesh.FileRef{Name: "strangers"} })); got.Refused == "" {
		t.Errorf("an optional certificate of another CA is taken: %s", &got)
	}
}

// showPassThrough: the certificate is the destination's own.
func showPassThrough(t *testing.T, m *check.Mesh, running *meshtest.Mesh) {
	for host, want := range map[string]string{"catalog.shop.example": "shop/catalog-v1", "opened.example": "opened"} {
		if got := enters(t, m, running, reach.Request{To: host + ":443"}, nil); got.Certificate != want {
			t.Errorf("%s shows the certificate %q, want %q", host, got.Certificate, want)
		}
	}
}
