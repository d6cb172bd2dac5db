// Package deploy applies deploy/ and the examples of the documentation to a real API
// server: what is shipped is accepted, may do what the roles need and nothing else,
// and goes away without a trace.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // controller-runtime's clients have nothing to say
	kubetest.Main(m)
}

// namespace of the control plane.
const namespace = "mesh-system"

// complete is the kustomization that has every role.
const complete = "deploy/quickstart"

// path of a file of the repository.
func path(t *testing.T, name string) string {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, filepath.FromSlash(name))
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// kustomizations are the directories that can be applied: the shipped ones, and one
// of the test's own for each component.
func kustomizations(t *testing.T) []string {
	t.Helper()
	dirs := []string{"deploy/base", complete}
	overlays, err := os.ReadDir(path(t, "test/deploy/testdata/overlays"))
	if err != nil {
		t.Fatal(err)
	}
	for _, overlay := range overlays {
		dirs = append(dirs, "test/deploy/testdata/overlays/"+overlay.Name())
	}
	return dirs
}

// render returns the objects of a kustomization, as kubectl builds it.
func render(t *testing.T, dir string) []unstructured.Unstructured {
	t.Helper()
	out, err := exec.Command(tools.Require(t, "kubectl"), "kustomize", path(t, dir)).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		t.Fatalf("kubectl kustomize %s: %v\n%s", dir, err, failed.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, dir, out)
}

// decode reads a stream of YAML documents.
func decode(t *testing.T, name string, text []byte) []unstructured.Unstructured {
	t.Helper()
	var objects []unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// files lists the YAML files below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(path(t, dir)), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(name) == ".yaml" {
			names = append(names, dir+"/"+name)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has %d YAML files: %v", dir, len(names), err)
	}
	return names
}

var install sync.Once

// installed returns a cluster to which everything was applied.
func installed(t *testing.T) *kubetest.Cluster {
	t.Helper()
	cluster := kubetest.Start(t)
	install.Do(func() { reinstall(t, cluster) })
	return cluster
}

// reinstall applies everything to a cluster without it: the CRDs of Flux's sources,
// each kustomization in dry run, and the complete one for real.
func reinstall(t *testing.T, cluster *kubetest.Cluster) {
	t.Helper()
	applyFlux(t, cluster)
	apply := []string{"apply", "--server-side", "--force-conflicts", "--validate=strict"}
	cluster.Kubectl(t, append(apply, "-f", path(t, "deploy/base/namespace.yaml"))...)
	for _, dir := range kustomizations(t) {
		if out, err := cluster.TryKubectl(t, "", append(apply, "--dry-run=server", "-k", path(t, dir))...); err != nil {
			t.Errorf("kubectl apply -k %s: %v\n%s", dir, err, out)
		}
	}
	cluster.Kubectl(t, append(apply, "-k", path(t, complete))...)
}
