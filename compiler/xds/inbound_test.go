package xds_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// noAdmin denies a host.
func noAdmin(*check.Workload, *check.Inbound) xds.PortAccess {
	admin := envoymatch.Header(mesh.HeaderMatch{Name: ":authority", StringMatch: mesh.StringMatch{
		Kind: mesh.Regex, Value: `(?i:admin\.example)(?::[0-9]*)?`}})
	return xds.PortAccess{HTTP: []*rbacv3.RBAC{{Rules: &rbacconfigv3.RBAC{Action: rbacconfigv3.RBAC_DENY,
		Policies: map[string]*rbacconfigv3.Policy{"admin": {
			Permissions: []*rbacconfigv3.Permission{{Rule: &rbacconfigv3.Permission_Header{Header: admin}}},
			Principals:  []*rbacconfigv3.Principal{{Identifier: &rbacconfigv3.Principal_Any{Any: true}}},
		}}}}}}
}

func TestHostHasOneSpelling(t *testing.T) {
	t.Parallel()
	ca, app := newAuthority(t), envoytest.RunEcho(t, "catalog", "v1")
	address, _ := runCalleeOf(t, build(t, shopMesh(t), "shop/catalog-v1", noAdmin), ca, catalogID, app.Address())
	for host, want := range map[string]int{
		"admin.example": 403, "Admin.Example:80": 403, "admin.example.": 403, "admin.example.:80": 403, "admin.example:": 403,
		"admin.example.org": 200, "xadmin.example": 200,
	} {
		response, err := envoytest.Send(t.Context(), address, envoytest.Request{Host: host, TLS: ca.client(t, orderID)})
		if err != nil || response.Status != want {
			t.Errorf("host %q: status %d, error %v, want %d", host, response.Status, err, want)
		}
	}
}

// What a caller writes into headers changes neither what the callee's log says
// of it nor how the callee's proxy treats the request.
func TestCallerForgesNothing(t *testing.T) {
	t.Parallel()
	ca, app := newAuthority(t), envoytest.RunEcho(t, "catalog", "v1")
	address, envoy := runCalleeOf(t, build(t, shopMesh(t), "shop/catalog-v1", open), ca, catalogID, app.Address())
	app.Answer("/real", envoytest.Answer{Status: 500, Delay: 200 * time.Millisecond})
	response, err := envoytest.Send(t.Context(), address, envoytest.Request{Path: "/real?secret", TLS: ca.client(t, orderID), Headers: http.Header{
		"X-Forwarded-For":       {"10.9.8.7"}, // a private address
		"X-Envoy-Original-Path": {"/forged"},
		"X-Envoy-Internal":      {"true"}, "X-Envoy-Retry-On": {"5xx"}, "X-Envoy-Max-Retries": {"9"}, "X-Envoy-Upstream-Rq-Timeout-Ms": {"50"},
	}})
	if err != nil || response.Status != 500 {
		t.Errorf("status %d, error %v, want the application's 500", response.Status, err)
	}
	if got := app.Received(); len(got) != 1 || got[0].Headers.Get("X-Envoy-Internal") != "" {
		t.Errorf("the application received %v, want one request from outside", got)
	}
	if err := envoytest.Until(t.Context(), func() error {
		if !strings.Contains(envoy.Log(), `"path":"/real"`) {
			return errors.New("the access log does not have the path")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if log := envoy.Log(); strings.Contains(log, "forged") || strings.Contains(log, "10.9.8.7") || strings.Contains(log, "secret") {
		t.Errorf("the log has what the caller wrote: %s", log)
	}
}
