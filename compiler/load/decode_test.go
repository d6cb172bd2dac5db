package load_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

type meta struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Since  *metav1.Time      `json:"since,omitempty"`
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   meta   `json:"metadata"`
	Spec       *spec  `json:"spec,omitempty"`
}

type spec struct {
	inlined `json:",inline"`
	Rules   []rule               `json:"rules,omitempty"`
	Ports   map[string]portRange `json:"ports,omitempty"`
	Block   netip.Prefix         `json:"block,omitzero"`
	Every   time.Duration        `json:"-"`
	Raw     *load.Node           `json:"raw,omitempty"`
	Any     any                  `json:"any,omitempty"`
	Wait    *metav1.Duration     `json:"wait,omitempty"`
}

type inlined struct {
	Service string `json:"service,omitempty"`
}

type rule struct {
	Name    string   `json:"name"`
	Weight  int32    `json:"weight,omitempty"`
	Percent float64  `json:"percent,omitempty"`
	Enabled *bool    `json:"enabled,omitempty"`
	Tiny    uint8    `json:"tiny,omitempty"`
	Methods []string `json:"methods,omitempty"`
}

type portRange struct {
	From, To uint16
}

func decode(t *testing.T, text string) (object, string) {
	t.Helper()
	text = "apiVersion: x/v1\nkind: Object\nmetadata: {name: a}\nspec:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	res, diags := load.Load(fstest.MapFS{"a.yaml": {Data: []byte(text)}}, load.Options{})
	if len(diags) > 0 || len(res.Documents) != 1 {
		t.Fatalf("loading %s: %v", text, diags)
	}
	var out object
	var b strings.Builder
	for _, d := range load.Decode(res.Documents[0].Root, &out, res.Documents[0].Object()) {
		fmt.Fprintf(&b, "%d:%d %s\n", d.Span.Start.Line-4, d.Span.Start.Column-2, d.Message)
	}
	return out, strings.TrimSpace(b.String())
}

func TestDecode(t *testing.T) {
	got, diags := decode(t, `
service: catalog
rules:
- {name: a, weight: -90, percent: 0.5, enabled: false, tiny: 255, methods: [GET]}
- {name: b, percent: 1}
ports: {http: {From: 80, To: 81}}
block: 10.0.0.0/8
raw: [1]
any: {a: [1, true, x]}
wait: 5s
`)
	if diags != "" {
		t.Fatal(diags)
	}
	enabled := false
	want := spec{
		inlined: inlined{Service: "catalog"},
		Rules:   []rule{{Name: "a", Weight: -90, Percent: 0.5, Enabled: &enabled, Tiny: 255, Methods: []string{"GET"}}, {Name: "b", Percent: 1}},
		Ports:   map[string]portRange{"http": {80, 81}},
		Block:   netip.MustParsePrefix("10.0.0.0/8"),
		Raw:     got.Spec.Raw,
		Any:     got.Spec.Any,
		Wait:    &metav1.Duration{Duration: 5 * time.Second},
	}
	if diff := cmp.Diff(want, *got.Spec, cmp.AllowUnexported(spec{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if got.Spec.Raw.Kind != load.List || fmt.Sprint(got.Spec.Any) != "map[a:[1 true x]]" {
		t.Errorf("raw %v, any %v", got.Spec.Raw, got.Spec.Any)
	}
}

func TestDecodeDiagnostics(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"srvice: a", `1:1 unknown field "srvice" in spec: did you mean "service"?`},
		{"Service: a", `1:1 unknown field "Service" in spec: did you mean "service"?`},
		{"surprise: a", `1:1 unknown field "surprise" in spec`},
		{"service: 8080", `1:10 service is the integer 8080, want a string: write "8080"`},
		{"service: [a]", `1:10 service is a list, want a string`},
		{"service:", `1:9 service is null: give it a value or leave it out`},
		{"rules: {name: a}", `1:8 rules is an object, want a list`},
		{"rules: [{name: a, weight: \"90\"}]", `1:27 weight is the string "90", want an integer`},
		{"rules: [{name: a, weight: 1.5}]", `1:27 weight is the number "1.5", want an integer`},
		{"rules: [{name: a, weight: 3000000000}]", `1:27 weight is 3000000000, out of range: want -2147483648 to 2147483647`},
		{"rules: [{name: a, tiny: -1}]", `1:25 tiny is -1, out of range: want 0 to 255`},
		{"rules: [{name: a, enabled: \"true\"}]", `1:28 enabled is the string "true", want true or false`},
		{"rules: [{name: a, methods: [GET, 1, {a: 1}]}]", "1:34 methods is the integer 1, want a string: write \"1\"\n1:37 methods is an object, want a string"},
		{"block: 10.0.0.0", `1:8 block: netip.ParsePrefix("10.0.0.0"): no '/'`},
		{"every: 5s", `1:1 unknown field "every" in spec`},
		{"ports: {http: {from: 1}}", `1:16 unknown field "from" in http: did you mean "From"?`},
	} {
		if _, got := decode(t, test.text); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.text, got, test.want)
		}
	}
}
