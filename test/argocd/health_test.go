// Package argocd_test runs what deploy/argocd gives to Argo CD, as Argo CD does: the
// health scripts in its sandbox, the plugin's commands with its environment.
package argocd_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

var update = flag.Bool("update", false, "write argocd-cm.yaml anew")

const (
	dir            = "../../deploy/argocd"
	customizations = dir + "/resource_customizations/" + v1alpha1.Group
)

// health is what a script returns.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// run gives an object to a script as Argo CD does (util/lua/lua.go, runLua): the
// libraries package, base and table, and one second.
func run(t *testing.T, script string, object map[string]any) (h health, err error) {
	t.Helper()
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	l.SetContext(ctx)
	l.SetGlobal("obj", value(l, object))
	if err := l.DoString(script); err != nil {
		return h, err
	}
	table, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %s", l.Get(-1).Type())
	}
	return health{table.RawGetString("status").String(), table.RawGetString("message").String()}, nil
}

// value turns decoded JSON into Lua.
func value(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case float64:
		return lua.LNumber(v)
	case []any:
		t := l.NewTable()
		for _, item := range v {
			t.Append(value(l, item))
		}
		return t
	case map[string]any:
		t := l.NewTable()
		for key, item := range v {
			t.RawSetString(key, value(l, item))
		}
		return t
	}
	return lua.LNil
}

// object reads a fixture, whose fields must be those of the API.
func object(t *testing.T, kind, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(v1alpha1.Kinds(), v1alpha1.Reports()...) {
		if k.Kind == kind {
			if err := yaml.UnmarshalStrict(data, k.New()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	var out map[string]any
	if err := yaml.Unmarshal(data, &out); err != nil || out["kind"] != kind {
		t.Fatalf("%s: kind %v: %v", name, out["kind"], err)
	}
	return out
}

func script(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(customizations, kind, "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestHealth runs health_test.yaml, the form of Argo CD's own tests.
func TestHealth(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PolicySync", "Release", "MeshRoute"} {
		data, err := os.ReadFile(filepath.Join(customizations, kind, "health_test.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var suite struct {
			Tests []struct {
				InputPath    string `json:"inputPath"`
				HealthStatus health `json:"healthStatus"`
			} `json:"tests"`
		}
		if err := yaml.UnmarshalStrict(data, &suite); err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		for _, c := range suite.Tests {
			used[filepath.Base(c.InputPath)] = true
			got, err := run(t, script(t, kind), object(t, kind, filepath.Join(customizations, kind, c.InputPath)))
			if diff := cmp.Diff(c.HealthStatus, got); err != nil || diff != "" {
				t.Errorf("%s %s: %v (-want +got):\n%s", kind, c.InputPath, err, diff)
			}
		}
		fixtures, err := os.ReadDir(filepath.Join(customizations, kind, "testdata"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fixtures {
			if !used[f.Name()] {
				t.Errorf("%s: no test uses %s", kind, f.Name())
			}
		}
	}
}

// TestSandbox: the runner of these tests refuses what Argo CD refuses.
func TestSandbox(t *testing.T) {
	t.Parallel()
	for _, script := range []string{`return os.getenv("HOME")`, `return string.rep("x", 3)`, `while true do end`} {
		if _, err := run(t, script, nil); err == nil {
			t.Errorf("%s is run", script)
		}
	}
}

// TestEveryKind: each native kind has a script, and those of policies are one.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	want := script(t, "MeshRoute")
	for _, k := range v1alpha1.Kinds() {
		if got := script(t, k.Kind); k.Kind != "PolicySync" && got != want {
			t.Errorf("%s has another script than MeshRoute: copy it", k.Kind)
		}
	}
}

// TestConfigMap keeps argocd-cm.yaml, the form for an installation, equal to the
// scripts.
func TestConfigMap(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob(customizations + "/*/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]string{}
	for _, name := range scripts {
		kind := filepath.Base(filepath.Dir(name))
		data["resource.customizations.health."+v1alpha1.Group+"_"+kind] = script(t, kind)
	}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "argocd-cm", "namespace": "argocd"}, "data": data,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Generated from resource_customizations by go test ./test/argocd -update. DO NOT EDIT.\n" + string(text)
	name := dir + "/argocd-cm.yaml"
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Errorf("%s is stale (%v); go test ./test/argocd -update writes it:\n%s", name, err, diff)
	}
}

func decode(t *testing.T, data []byte) (out []map[string]any) {
	t.Helper()
	for doc := range strings.SplitSeq(string(data), "---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		text, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		out = append(out, object)
	}
	return out
}
