package objects_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// words are strings that YAML readers take for something else, or cannot have.
var words = []string{
	"", "a", "yes", "No", "null", "Null", "TRUE", "~", "1", "0x1f", "1e3", ".inf", "1:30", "2020-01-01", "012", "a: b", "a #b", "- a", "? a", "<<", "{", "&a", "*a", "!a",
	"'", "\"", "\\", " a", "a ", "a\nb", "\n", "\t", "\r\n", "---", "--- a", "\x7f", "\u0085", "\u2028", "\ufeff", "\ufffe", "größe", "😀", "$$", "a.b/c", "on", strings.Repeat("long ", 300), strings.Repeat("\u0085", 300),
}

func value(random *rand.Rand, depth int) any {
	switch n := random.IntN(10 + depth); {
	case n < 2:
		return words[random.IntN(len(words))]
	case n < 3:
		return []any{nil, true, false, int64(0), int64(-5), int64(1) << 60, 0.5, 1e-9, 1e30, -2.5}[random.IntN(10)]
	case n < 4:
		return []any{[]any{}, map[string]any{}}[random.IntN(2)]
	case n < 7 && depth > 0:
		out := []any{}
		for range 1 + random.IntN(3) {
			out = append(out, value(random, depth-1))
		}
		return out
	case depth > 0:
		out := map[string]any{}
		for range 1 + random.IntN(3) {
			out[words[random.IntN(len(words))]] = value(random, depth-1)
		}
		return out
	}
	return "leaf"
}

// TestRender: what Kubernetes' YAML reader and the compiler's read is the object.
func TestRender(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		object := map[string]any{"apiVersion": "v1", "kind": "Service", "spec": value(random, 4), "metadata": map[string]any{
			"name": "a", "annotations": map[string]any{"istio.io/x": words[random.IntN(len(words))]},
		}}
		text, err := objects.Render(&unstructured.Unstructured{Object: object})
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := yaml.UnmarshalStrict(text, &got); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if diff := cmp.Diff(plain(t, object), plain(t, got)); diff != "" {
			t.Fatalf("(-object +read):\n%s\n%s", diff, text)
		}
		files, diags := load.Load(objects.NewSet().With("shop/a.yaml", text), load.Options{})
		if len(diags) > 0 || len(files.Documents) != 1 {
			t.Fatalf("%v:\n%s", diags, text)
		}
		if diff := cmp.Diff(plain(t, object), plain(t, load.Value(files.Documents[0].Root))); diff != "" {
			t.Fatalf("(-object +loaded):\n%s\n%s", diff, text)
		}
	}
}

// plain is a value as JSON has it.
func plain(t *testing.T, v any) (out any) {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRenderDeep: what is nested without end takes no longer lines at each level.
func TestRenderDeep(t *testing.T) {
	var spec any = "end"
	for range 5000 {
		spec = map[string]any{"a": spec}
	}
	text, err := objects.Render(&unstructured.Unstructured{Object: map[string]any{"kind": "A", "spec": spec}})
	if err != nil || len(text) > 60_000 {
		t.Fatalf("%d bytes: %v", len(text), err)
	}
}

// TestRenderPlaces: an annotation and a number move no other field, and annotations that nobody
// reads are left out.
func TestRenderPlaces(t *testing.T) {
	deployment := func(replicas int, annotations string) []byte {
		u := &unstructured.Unstructured{}
		text := fmt.Sprintf("kind: Deployment\nmetadata: {name: a, annotations: {%s}, managedFields: []}\nspec: {replicas: %d, template: {spec: {containers: [{name: app}]}}}\nstatus: {replicas: 1}\n", annotations, replicas)
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		out, err := objects.Render(u)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, b := deployment(9, ""), deployment(10, "config.linkerd.io/a: b, notistio.io/a: b, a: b, kubectl.kubernetes.io/last-applied-configuration: x")
	want := string(bytes.Replace(a, []byte("replicas: 9"), []byte("replicas: 10"), 1))
	want += "  annotations:\n    config.linkerd.io/a: b\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
