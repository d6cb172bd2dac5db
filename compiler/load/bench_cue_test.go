package load_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// BenchmarkCUE evaluates 10 packages of 10 routes with 10 rules each.
func BenchmarkCUE(b *testing.B) {
	repo := fstest.MapFS{}
	for p := range 10 {
		var text bytes.Buffer
		fmt.Fprintf(&text, "package p%d\n\nimport mc \"mesh-compile.dev/v1alpha1\"\n\n", p)
		for i := range 10 {
			fmt.Fprintf(&text, `route%d: mc.#MeshRoute & {
	metadata: {name: "p%d-route%d", namespace: "shop"}
	spec: {
		service: "s%d"
		unmatched: "service"
		rules: [for i in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
			name: "rule-\(i)"
			match: [{path: prefix: "/\(i)", methods: ["GET"]}]
			to: [{version: "v1", weight: 90}, {version: "v2", weight: 10}]
		}]
	}
}
`, i, p, i, i)
		}
		repo[fmt.Sprintf("p%d/routes.cue", p)] = &fstest.MapFile{Data: text.Bytes()}
	}
	opt := load.Options{Modules: schemas.CUE()}
	b.ReportAllocs()
	for b.Loop() {
		res, diags := load.Load(repo, opt)
		if len(diags) > 0 || len(res.Documents) != 100 {
			b.Fatal(len(res.Documents), diags)
		}
	}
}
