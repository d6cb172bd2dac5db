package schemas_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cueload "cuelang.org/go/cue/load"
	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/load/structural"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// TestStale regenerates everything elsewhere and compares.
func TestStale(t *testing.T) {
	generator := filepath.Join(t.TempDir(), "generator")
	build := exec.Command("go", "build", "-o", generator, ".")
	build.Dir = "../test/tools/schemas"
	if text, err := build.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("building the generator: %v\n%s", err, text)
		}
		t.Skipf("the generator cannot be built here: %v\n%s", err, text)
	}
	fresh := t.TempDir()
	if text, err := exec.Command(generator, "-root", "..", "-out", fresh).CombinedOutput(); err != nil {
		t.Fatalf("generating: %v\n%s", err, text)
	}
	want, have := map[string]string{}, map[string]string{}
	for _, dir := range []string{"schemas/crds", "schemas/json", "schemas/cue", "docs/reference/kinds"} {
		readTree(t, fresh, dir, want)
		readTree(t, "..", dir, have)
	}
	deepcopy := "controller/api/v1alpha1/zz_generated.deepcopy.go"
	want[deepcopy], have[deepcopy] = readFile(t, filepath.Join(fresh, deepcopy)), readFile(t, filepath.Join("..", deepcopy))
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("stale, run make generate (-fresh +here):\n%s", diff)
	}
}

func readTree(t *testing.T, root, dir string, into map[string]string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, dir), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		into[filepath.ToSlash(rel)] = readFile(t, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestKinds holds the table of the Go package, the generated forms and the
// structural check to the same kinds.
func TestKinds(t *testing.T) {
	var kinds []string
	for _, k := range v1alpha1.Kinds() {
		kinds = append(kinds, k.Kind)
		crd, err := fs.ReadFile(schemas.CRDs(), k.Plural+".yaml")
		if err != nil {
			t.Error(err)
		}
		scope := "scope: Cluster\n"
		if k.Namespaced {
			scope = "scope: Namespaced\n"
		}
		for _, part := range []string{"kind: " + k.Kind + "\n", "- " + k.Short + "\n", scope} {
			if !strings.Contains(string(crd), part) {
				t.Errorf("CRD of %s has no %q", k.Kind, part)
			}
		}
		if text, err := schemas.JSONSchema(k.Kind); err != nil || !json.Valid(text) {
			t.Errorf("JSON Schema of %s: %v", k.Kind, err)
		}
		if _, err := os.Stat(filepath.Join("testdata", "valid", strings.ToLower(k.Kind)+".yaml")); err != nil {
			t.Errorf("no example of %s: %v", k.Kind, err)
		}
	}
	if diff := cmp.Diff(structural.Kinds(), kinds); diff != "" {
		t.Errorf("kinds (-structural +v1alpha1):\n%s", diff)
	}
}

// TestCRDsKeepUnknownFields: pruning would turn a misspelt condition into one
// that matches everything.
func TestCRDsKeepUnknownFields(t *testing.T) {
	for _, k := range v1alpha1.Kinds() {
		if k.Kind == "PolicySync" {
			continue // no webhook stands before it: the API server itself refuses unknown fields
		}
		text, err := fs.ReadFile(schemas.CRDs(), k.Plural+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		objects := strings.Count(string(text), "type: object\n")
		kept := strings.Count(string(text), "x-kubernetes-preserve-unknown-fields: true\n")
		maps := strings.Count(string(text), "additionalProperties:\n")
		// The document itself and its metadata are the API server's.
		if kept+maps+2 != objects {
			t.Errorf("CRD of %s: %d objects, of which %d keep unknown fields and %d are maps", k.Kind, objects, kept, maps)
		}
	}
}

func TestCLISchemas(t *testing.T) {
	for _, command := range []string{"lint", "explain"} {
		if text, err := schemas.CLISchema(command); err != nil || !json.Valid(text) {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestShopInCUE evaluates a package that imports the definitions, offline.
func TestShopInCUE(t *testing.T) {
	v := evaluate(t, readFile(t, "testdata/cue/shop.cue"))
	if err := v.Validate(cue.Concrete(true), cue.Final()); err != nil {
		t.Fatal(err)
	}
	var names []string
	fields, _ := v.Fields()
	for fields.Next() {
		kind, _ := fields.Value().LookupPath(cue.ParsePath("kind")).String()
		names = append(names, kind+" "+fields.Selector().String())
	}
	slices.Sort(names)
	want := []string{`AccessPolicy "inventory-access"`, `AccessPolicy "payment-access"`, `AccessPolicy "shipping-access"`, "MeshRoute catalog"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("documents (-want +have):\n%s", diff)
	}
	weight, err := v.LookupPath(cue.ParsePath("catalog.spec.rules[1].to[0].weight")).Int64()
	if err != nil || weight != 90 {
		t.Errorf("weight is %d, want 90: %v", weight, err)
	}
}

func TestCUEErrors(t *testing.T) {
	shop := readFile(t, "testdata/cue/shop.cue")
	for old, new := range map[string]string{
		`#canary & 10`:       `#canary & 60`,
		`timeout: "2s"`:      `timeout: "2"`,
		`service: "catalog"`: `servise: "catalog"`,
		`to: anything: true`: `to: anything: false`,
	} {
		if !strings.Contains(shop, old) {
			t.Fatalf("shop.cue has no %s", old)
		}
		v := evaluate(t, strings.ReplaceAll(shop, old, new))
		if err := v.Validate(cue.Concrete(true), cue.Final()); err == nil {
			t.Errorf("%s is accepted", new)
		}
	}
}

func evaluate(t testing.TB, text string) cue.Value {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "shop") // need not exist
	overlay := map[string]cueload.Source{
		filepath.Join(dir, "cue.mod", "module.cue"): cueload.FromString("module: \"shop.example@v0\"\nlanguage: version: \"v0.17.0\"\n"),
		filepath.Join(dir, "shop.cue"):              cueload.FromString(text),
	}
	err := fs.WalkDir(schemas.CUE(), "v1alpha1", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(schemas.CUE(), name)
		overlay[filepath.Join(dir, "cue.mod", "pkg", schemas.CUEModule, filepath.FromSlash(name))] = cueload.FromBytes(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	instances := cueload.Instances([]string{"."}, &cueload.Config{Dir: dir, Overlay: overlay, Env: []string{"CUE_REGISTRY=none"}})
	if err := instances[0].Err; err != nil {
		t.Fatal(err)
	}
	return cuecontext.New().BuildInstance(instances[0])
}

// specPointer is &object.Spec.
func specPointer(object any) any {
	return reflect.ValueOf(object).Elem().FieldByName("Spec").Addr().Interface()
}
