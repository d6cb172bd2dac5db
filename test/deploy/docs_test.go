package deploy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

// pages are the documentation of Kubernetes.
var pages = []string{"docs/kubernetes.md", "docs/flux.md"}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// unapplied are groups whose CRDs no module that builds here has.
var unapplied = map[string]bool{"notification.toolkit.fluxcd.io": true}

// TestDocsYAML gives every YAML block of the pages to the API server, and every
// kustomization to kubectl.
func TestDocsYAML(t *testing.T) {
	cluster := installed(t)
	cluster.Namespace(t, "flux-system", nil)
	applied := 0
	for _, page := range pages {
		for _, block := range yamlBlock.FindAllStringSubmatch(string(read(t, page)), -1) {
			for _, object := range decode(t, page, []byte(block[1])) {
				group := object.GroupVersionKind().Group
				if unapplied[group] {
					continue
				}
				t.Run(page+"/"+object.GetKind(), func(t *testing.T) {
					if group == "kustomize.config.k8s.io" {
						builds(t, block[1])
						return
					}
					if out, err := cluster.TryApply(t, text(t, object), "--dry-run=server", "--validate=strict"); err != nil {
						t.Errorf("%v\n%s", err, out)
					}
				})
				applied++
			}
		}
	}
	if applied < 12 {
		t.Errorf("%d objects were found in %v", applied, pages)
	}
}

func text(t *testing.T, object unstructured.Unstructured) string {
	t.Helper()
	out, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// builds renders a reader's kustomization, which stands beside the source tree.
func builds(t *testing.T, kustomization string) {
	t.Helper()
	root := path(t, ".")
	dir, err := os.MkdirTemp(path(t, "test/deploy/testdata"), "reader")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	up, err := filepath.Rel(dir, root)
	if err != nil {
		t.Fatal(err)
	}
	kustomization = strings.ReplaceAll(kustomization, "../mesh-compile", filepath.ToSlash(up))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	render(t, strings.TrimPrefix(dir, root+"/"))
}

// TestBuild: the components for operators whose CRDs are not here build at least.
func TestBuild(t *testing.T) {
	for name, kind := range map[string]string{"monitoring": "PodMonitor", "cert-manager": "Certificate"} {
		objects := render(t, "test/deploy/testdata/build/"+name)
		if !slices.ContainsFunc(objects, func(o unstructured.Unstructured) bool { return o.GetKind() == kind }) {
			t.Errorf("%s has no %s", name, kind)
		}
	}
}

// TestInstall runs the commands of docs/kubernetes.md that install, as its reader does.
func TestInstall(t *testing.T) {
	cluster := installed(t)
	bin := t.TempDir()
	run(t, cluster.Kubeconfig(), bin, "go build -o "+bin+" ./cmd/mesh-compile")
	if err := os.Symlink(tools.Require(t, "kubectl"), filepath.Join(bin, "kubectl")); err != nil {
		t.Fatal(err)
	}
	section := string(read(t, "docs/kubernetes.md"))
	_, section, _ = strings.Cut(section, "\n## Install\n")
	section, _, _ = strings.Cut(section, "\n```\n\n")
	ran := 0
	keys := filepath.Join(t.TempDir(), "keys")
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			run(t, cluster.Kubeconfig(), bin, strings.NewReplacer("-o keys", "-o "+keys, "=keys/", "="+keys+"/").Replace(command))
			ran++
		}
	}
	if ran != 7 {
		t.Errorf("%d commands were found, want 7", ran)
	}
	out, err := cluster.TryKubectl(t, "", "-n", namespace, "patch", "configmap", "mesh-root", "--type", "merge", "-p", `{"data":{"root.dsse.json":"x"}}`)
	if err == nil || !strings.Contains(out, "immutable") {
		t.Errorf("the root document can be changed: %s", out)
	}
}

var row = regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|")

// TestReasons: the table of docs/kubernetes.md has each reason of the API, and no other.
func TestReasons(t *testing.T) {
	_, table, _ := strings.Cut(string(read(t, "docs/kubernetes.md")), "| Reason |")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		documented[m[1]] = true
	}
	reasons := constants(t, "controller/api/v1alpha1/conditions.go", "Reason")
	for reason := range reasons {
		if !documented[reason] {
			t.Errorf("docs/kubernetes.md does not say what the reason %s means", reason)
		}
	}
	for reason := range documented {
		if !reasons[reason] {
			t.Errorf("docs/kubernetes.md has the reason %s, which does not exist", reason)
		}
	}
}

// constants returns the values of a file's string constants by a prefix of their names.
func constants(t *testing.T, name, prefix string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path(t, name), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values[value] = true
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s has no %s constants", name, prefix)
	}
	return values
}

// TestHealthChecks evaluates the expressions of docs/flux.md as kustomize-controller
// does.
func TestHealthChecks(t *testing.T) {
	checks := healthChecks(t)
	if len(checks) != 1 {
		t.Fatalf("docs/flux.md has %d health checks", len(checks))
	}
	evaluator, err := cel.NewStatusEvaluator(&checks[0].HealthCheckExpressions)
	if err != nil {
		t.Fatal(err)
	}
	for condition, want := range map[string]string{"True": "Current", "False": "Failed", "": "InProgress"} {
		object := unstructured.Unstructured{Object: map[string]any{"status": map[string]any{}}}
		if condition != "" {
			accepted := []any{map[string]any{"type": "Accepted", "status": condition}}
			object.Object["status"] = map[string]any{"conditions": accepted}
		}
		got, err := evaluator.Evaluate(t.Context(), &object)
		if err != nil || got.Status.String() != want {
			t.Errorf("Accepted=%q is %v, %v; want %s", condition, got, err, want)
		}
	}
}

func healthChecks(t *testing.T) []fluxkustomize.CustomHealthCheck {
	t.Helper()
	var checks []fluxkustomize.CustomHealthCheck
	for _, block := range yamlBlock.FindAllStringSubmatch(string(read(t, "docs/flux.md")), -1) {
		for _, object := range decode(t, "docs/flux.md", []byte(block[1])) {
			found, _, _ := unstructured.NestedSlice(object.Object, "spec", "healthCheckExprs")
			for _, f := range found {
				var check fluxkustomize.CustomHealthCheck
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(f.(map[string]any), &check); err != nil {
					t.Fatal(err)
				}
				checks = append(checks, check)
			}
		}
	}
	return checks
}
