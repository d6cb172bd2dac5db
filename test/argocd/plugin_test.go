package argocd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// plugin is what is read of plugin.yaml.
type plugin struct {
	Spec struct {
		Discover struct {
			Find command `json:"find"`
		} `json:"discover"`
		Init     command `json:"init"`
		Generate command `json:"generate"`
	} `json:"spec"`
}

type command struct {
	Command []string `json:"command"`
	Args    []string `json:"args"`
}

func readPlugin(t *testing.T) (p plugin) {
	t.Helper()
	data, err := os.ReadFile(dir + "/plugin/plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// run does what Argo CD's cmp-server does: the command in the directory of the
// source, with the variables of the Application.
func (c command) run(t *testing.T, source string, env ...string) (stdout, stderr string, status int) {
	t.Helper()
	line := append(append([]string{}, c.Command...), c.Args...)
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Dir = source
	cmd.Env = append([]string{
		"PATH=" + filepath.Dir(program(t)) + ":" + os.Getenv("PATH"), "HOME=/nonexistent",
		"ARGOCD_APP_NAME=mesh-policies", "ARGOCD_APP_NAMESPACE=shop", "ARGOCD_APP_REVISION=c0ffee", "ARGOCD_APP_SOURCE_PATH=policies",
	}, env...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), words.String(), cmd.ProcessState.ExitCode()
}

func program(t *testing.T) string { return kubetest.Build(t, "./cmd/mesh-compile") }

// source is a directory with files, as Argo CD hands it to the sidecar.
func source(t *testing.T, files map[string]string) string {
	t.Helper()
	d := t.TempDir()
	for name, text := range files {
		name = filepath.Join(d, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

const mesh = "apiVersion: mesh-compile.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: \"${DOMAIN}\"}\n"

func TestDiscover(t *testing.T) {
	discover := readPlugin(t).Spec.Discover.Find
	for name, c := range map[string]struct {
		files map[string]string
		ours  bool
	}{
		"YAML":         {map[string]string{"a/mesh.yaml": mesh}, true},
		"CUE":          {map[string]string{"mesh.cue": `apiVersion: "mesh-compile.dev/v1alpha1"`}, true},
		"another's":    {map[string]string{"deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\n", "README.md": mesh}, false},
		"an empty one": {nil, false},
	} {
		out, words, status := discover.run(t, source(t, c.files))
		if status != 0 || (out != "") != c.ours {
			t.Errorf("%s: exit status %d, found %q: %s", name, status, out, words)
		}
	}
}

func TestGenerate(t *testing.T) {
	p := readPlugin(t).Spec
	good := source(t, map[string]string{"mesh.yaml": mesh})
	out, words, status := p.Generate.run(t, good, "ARGOCD_ENV_SET=DOMAIN=shop.example OTHER=*")
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, words)
	}
	want := []map[string]any{{
		"apiVersion": "mesh-compile.dev/v1alpha1", "kind": "Mesh", "spec": map[string]any{"trustDomain": "shop.example"},
		"metadata": map[string]any{"name": "mesh", "annotations": map[string]any{"mesh-compile.dev/source": "mesh.yaml:1"}},
	}}
	if diff := cmp.Diff(want, decode(t, []byte(out))); diff != "" {
		t.Errorf("manifests (-want +got):\n%s", diff)
	}
	if again, _, _ := p.Generate.run(t, good, "ARGOCD_ENV_SET=DOMAIN=shop.example OTHER=*"); again != out {
		t.Errorf("the second time it is\n%s\nand was\n%s", again, out)
	}
	out, words, status = p.Generate.run(t, good) // no value for DOMAIN
	if status == 0 || out != "" || !strings.Contains(words, "mesh.yaml:4:") {
		t.Errorf("of unsafe policies: exit status %d, %q on standard output, %q", status, out, words)
	}
}

const policyTest = `---
apiVersion: mesh-compile.dev/v1alpha1
kind: PolicyTest
metadata: {name: nobody, namespace: shop}
spec:
  cases:
  - name: nobody reads
    request: {from: none, to: "catalog.shop:8080", method: GET, path: /}
    expect: {access: allow}
`

// TestInit: PolicyTests that fail refuse a sync, where they are asked for.
func TestInit(t *testing.T) {
	p := readPlugin(t).Spec
	shop := "../../testdata/repos/shop"
	if out, words, status := p.Init.run(t, shop, "ARGOCD_ENV_POLICY_TESTS=true"); status != 0 || out != "" {
		t.Errorf("of good policies: exit status %d, %q on standard output: %s", status, out, words)
	}
	bad := t.TempDir()
	if err := os.CopyFS(bad, os.DirFS(shop)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "nobody.yaml"), []byte(policyTest), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, words, status := p.Init.run(t, bad, "ARGOCD_ENV_POLICY_TESTS=true"); status == 0 || out != "" || !strings.Contains(words, "nobody") {
		t.Errorf("of a test that fails: exit status %d, %q on standard output, %q", status, out, words)
	}
	if _, words, status := p.Init.run(t, bad); status != 0 {
		t.Errorf("without being asked: exit status %d: %s", status, words)
	}
}

// TestRenderedIsApplied: an API server takes what the plugin prints, and keeps it
// the same when it is applied again.
func TestRenderedIsApplied(t *testing.T) {
	c := kubetest.Start(t)
	c.Namespace(t, "shop", nil)
	out, words, status := readPlugin(t).Spec.Generate.run(t, "../../deploy/samples/policies")
	if status != 0 {
		t.Fatal(words)
	}
	c.Apply(t, out)
	if said, err := c.TryKubectl(t, out, "diff", "--server-side", "-f", "-"); err != nil {
		t.Errorf("kubectl diff: %v\n%s", err, said)
	}
}

// TestInstallation renders the patches over what they patch.
func TestInstallation(t *testing.T) {
	kubectl := tools.Require(t, "kubectl")
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	overlay := source(t, map[string]string{
		"argocd.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, namespace: argocd}\ndata: {url: https://argocd.example}\n---\n" +
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: argocd-repo-server, namespace: argocd}\nspec: {template: {spec: {containers: [{name: argocd-repo-server, image: argocd}]}}}\n",
	})
	component, err := filepath.Rel(overlay, filepath.Join(root, "deploy/argocd"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"),
		[]byte("resources: [argocd.yaml]\ncomponents: ["+component+"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := build(t, kubectl, overlay)
	for _, want := range []string{"url: https://argocd.example", "resource.customizations.health.mesh-compile.dev_PolicySync: |",
		"plugin.yaml: |", "image: mesh-compile:dev", "name: mesh-compile-plugin-"} {
		if !strings.Contains(out, want) {
			t.Errorf("the installation has no %q:\n%s", want, out)
		}
	}
}

func build(t *testing.T, kubectl, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v\n%s", dir, err, out)
	}
	return string(out)
}

// TestPreSync runs the Job's command over a directory as the kubelet makes it of a
// ConfigMap: links into a hidden directory.
func TestPreSync(t *testing.T) {
	kubectl := tools.Require(t, "kubectl")
	var job, config map[string]any
	for _, o := range decode(t, []byte(build(t, kubectl, dir+"/presync"))) {
		switch o["kind"] {
		case "Job":
			job = o
		case "ConfigMap":
			config = o
		}
		annotations := o["metadata"].(map[string]any)["annotations"].(map[string]any)
		if annotations["argocd.argoproj.io/hook"] != "PreSync" {
			t.Errorf("%s is no PreSync hook", o["kind"])
		}
	}
	pod := job["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	volume := pod["volumes"].([]any)[0].(map[string]any)["configMap"].(map[string]any)
	if volume["name"] != config["metadata"].(map[string]any)["name"] {
		t.Errorf("the Job reads ConfigMap %s", volume["name"])
	}
	mounted := t.TempDir()
	for _, link := range [][2]string{{"..2026_11_01", "..data"}, {"..data/policies.yaml", "policies.yaml"}} {
		if err := os.Symlink(link[0], filepath.Join(mounted, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range config["data"].(map[string]any) {
		if err := os.MkdirAll(filepath.Join(mounted, "..2026_11_01"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mounted, "..2026_11_01", name), []byte(text.(string)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var args []string
	for _, arg := range pod["containers"].([]any)[0].(map[string]any)["command"].([]any)[1:] {
		args = append(args, strings.ReplaceAll(arg.(string), "/policies", mounted))
	}
	out, err := exec.CommandContext(t.Context(), program(t), args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1 document read") {
		t.Errorf("mesh-compile %q: %v\n%s", args, err, out)
	}
}
