package native

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// BenchmarkMeshRoute translates a route of ten rules.
func BenchmarkMeshRoute(b *testing.B) {
	var text strings.Builder
	text.WriteString("apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: a, namespace: shop}\nspec:\n  service: a\n  unmatched: service\n  rules:\n")
	for i := range 10 {
		fmt.Fprintf(&text, "  - name: r%d\n    match: [{path: {prefix: /r%d}, headers: {x-user: {exact: a}}}]\n    timeout: 2s\n    retry: {attempts: 2, perTryTimeout: 500ms, conditions: [reset]}\n    to: [{version: v1, weight: 90}, {version: v2, weight: 10}]\n", i, i)
	}
	result, diags := load.Load(fstest.MapFS{"a.yaml": {Data: []byte(text.String())}}, load.Options{})
	if len(diags) > 0 {
		b.Fatal(diags)
	}
	translate := Translators()["mesh-compile.dev/v1alpha1 MeshRoute"]
	for b.Loop() {
		if _, diags := translate(result.Documents[0]); len(diags) > 0 {
			b.Fatal(diags)
		}
	}
}
