package schemas_test

import (
	"fmt"
	"strings"
	"testing"

	"cuelang.org/go/cue"
)

// BenchmarkCUERules evaluates 1,000 rules, to see what the definitions cost.
func BenchmarkCUERules(b *testing.B) {
	var text strings.Builder
	text.WriteString("package shop\nimport mc \"mesh-compile.dev/v1alpha1\"\n")
	for i := range 50 {
		fmt.Fprintf(&text, "r%d: mc.#MeshRoute & {metadata: {name: \"r%[1]d\", namespace: \"shop\"}, spec: {service: \"s%[1]d\", rules: [\n", i)
		for j := range 20 {
			fmt.Fprintf(&text, "{name: \"rule%d\", match: [{path: prefix: \"/p%[1]d\", methods: [\"GET\"]}], timeout: \"2s\", to: [{version: \"v1\", weight: 90}, {version: \"v2\", weight: 10}]},\n", j)
		}
		text.WriteString("]}}\n")
	}
	for b.Loop() {
		if err := evaluate(b, text.String()).Validate(cue.Concrete(true)); err != nil {
			b.Fatal(err)
		}
	}
}
