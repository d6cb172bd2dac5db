package check_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// TestAmended: the edits that are made all day cost what they change.
func TestAmended(t *testing.T) {
	documents := []string{`
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: cart, namespace: shop}
spec: {service: cart, version: v1, serviceAccount: cart, ports: [{name: http, port: 8080, protocol: http}]}
`, `
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: cart-v2, namespace: shop}
spec: {service: cart, version: v2, serviceAccount: cart, ports: [{name: http, port: 8080, protocol: http}]}
`, `
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: cart, namespace: shop}
spec:
  service: cart
  rules:
  - name: all
    to: [{version: v1, weight: 90}, {version: v2, weight: 10}]
`, `
apiVersion: mesh-compile.dev/v1alpha1
kind: AccessPolicy
metadata: {name: cart, namespace: shop}
spec:
  service: cart
  allow:
  - name: callers
    from: {serviceAccounts: [{name: cart}]}
    to: {methods: [GET]}
`, `
apiVersion: mesh-compile.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec: {service: cart, connections: {connectTimeout: 1s}}
`}
	read := func(document string) []*mesh.Fragment {
		return fragments(t, fstest.MapFS{"a.yaml": {Data: []byte(document)}})
	}
	var all [][]*mesh.Fragment
	for _, d := range documents {
		all = append(all, read(d))
	}
	before, diags := check.Run(slices.Concat(all...), check.Options{})
	if diags.HasErrors() || before.Amended() {
		t.Fatalf("amended %t: %v", before.Amended(), diags)
	}
	for _, edit := range []struct {
		document int
		old, now string
		amended  bool
	}{
		{2, "v1, weight: 90}, {version: v2, weight: 10}", "v1, weight: 80}, {version: v2, weight: 20}", true},
		{2, "name: all", "name: everything", true},
		{3, "GET", "POST", true},
		{4, "1s", "2s", true},
		{2, documents[2], "", true},
		{3, documents[3], "", true},
		{0, "8080", "8081", false}, // another workload
	} {
		text := strings.Replace(documents[edit.document], edit.old, edit.now, 1)
		now := slices.Clone(all)
		if now[edit.document] = nil; text != "" {
			now[edit.document] = read(text)
		}
		after, _ := check.Run(slices.Concat(now...), check.Options{Previous: before})
		if after.Amended() != edit.amended {
			t.Errorf("%q for %q: amended %t, want %t", edit.now, edit.old, after.Amended(), edit.amended)
		}
	}
}
