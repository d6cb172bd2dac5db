package xds_test

import (
	"strings"
	"testing"
	"testing/fstest"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// checked compiles the policy files of an archive up to the checked mesh.
func checked(t testing.TB, archive *txtar.Archive) *check.Mesh {
	t.Helper()
	files := fstest.MapFS{}
	for _, f := range archive.Files {
		if strings.HasSuffix(f.Name, ".yaml") {
			files[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	result, list := load.Load(files, load.Options{Groups: dialect.Reading})
	refuseErrors(t, list)
	var fragments []*mesh.Fragment
	for _, doc := range result.Documents {
		fragment, list := dialect.Translate(doc)
		refuseErrors(t, list)
		fragments = append(fragments, fragment)
	}
	m, list := check.Run(fragments, check.Options{})
	refuseErrors(t, list)
	return m
}

func refuseErrors(t testing.TB, list diag.List) {
	t.Helper()
	for _, d := range list {
		if d.Severity >= diag.Error {
			t.Fatalf("%s: %s [%s]", d.Span, d.Message, d.Code)
		}
	}
}

// access denies everybody, which is enough to see where access stands; a
// workload under OPA asks the agent as well.
func access(w *check.Workload, in *check.Inbound) xds.PortAccess {
	rules := &rbacconfigv3.RBAC{Action: rbacconfigv3.RBAC_ALLOW}
	out := xds.PortAccess{ExtAuthz: w.Engine == mesh.EngineOPA}
	if in.Protocol.IsHTTP() {
		out.HTTP = []*rbacv3.RBAC{{Rules: rules}}
	} else {
		out.Network = []*networkrbacv3.RBAC{{Rules: rules, StatPrefix: "rbac"}}
	}
	return out
}

// open lets everybody in.
func open(*check.Workload, *check.Inbound) xds.PortAccess { return xds.PortAccess{} }

func build(t testing.TB, m *check.Mesh, workload string, a xds.Access) xds.Slice {
	t.Helper()
	w := m.Workload(workload)
	if w == nil {
		t.Fatalf("no workload %s", workload)
	}
	slice, err := xds.NewGenerator(m, nil).Build(w, a)
	if err != nil {
		t.Fatal(err)
	}
	return slice
}
