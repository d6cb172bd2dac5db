package deploy

import (
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// TestApply: everything that is shipped is taken, checked strictly, and applying it
// once more changes nothing.
func TestApply(t *testing.T) {
	cluster := installed(t)
	out, err := cluster.TryKubectl(t, "", "diff", "--server-side", "--force-conflicts", "-k", path(t, complete))
	if err != nil {
		t.Errorf("what was applied differs from what is shipped: %v\n%s", err, out)
	}
	cluster.Kubectl(t, "apply", "--dry-run=server", "--validate=strict", "-k", path(t, complete))
}

// TestPods: the API server admits the pods of each Deployment, and the sample of a
// sidecar, to the restricted namespace.
func TestPods(t *testing.T) {
	cluster := installed(t)
	pods := 0
	sidecar := decode(t, "sidecar", read(t, "deploy/samples/sidecar.yaml"))
	for _, object := range append(render(t, complete), sidecar...) {
		if object.GetKind() != "Deployment" {
			continue
		}
		pods++
		applyPod(t, cluster, pod(t, object))
	}
	if pods != 6 {
		t.Errorf("there are %d Deployments, want 6", pods)
	}
	_, err := cluster.TryApply(t, privileged, "--dry-run=server")
	if err == nil {
		t.Error("the namespace takes a privileged pod")
	}
}

const privileged = `
apiVersion: v1
kind: Pod
metadata: {name: privileged, namespace: mesh-system}
spec: {containers: [{name: c, image: c, securityContext: {privileged: true}}]}
`

// pod is the pod that a Deployment makes.
func pod(t *testing.T, deployment unstructured.Unstructured) unstructured.Unstructured {
	t.Helper()
	template, found, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil || !found {
		t.Fatalf("%s has no pod template: %v", deployment.GetName(), err)
	}
	out := unstructured.Unstructured{Object: template}
	out.SetAPIVersion("v1")
	out.SetKind("Pod")
	out.SetName(deployment.GetName())
	out.SetNamespace(namespace)
	return out
}

func applyPod(t *testing.T, cluster *kubetest.Cluster, pod unstructured.Unstructured) {
	t.Helper()
	text, err := yaml.Marshal(pod.Object)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cluster.TryApply(t, string(text), "--dry-run=server", "--validate=strict")
	if err != nil || strings.Contains(out, "Warning") {
		t.Errorf("the pod of %s: %v\n%s", pod.GetName(), err, out)
	}
}

// TestSamples: the API server takes every sample.
func TestSamples(t *testing.T) {
	cluster := installed(t)
	cluster.Namespace(t, "shop", nil)
	for _, name := range files(t, "deploy/samples") {
		t.Run(name, func(t *testing.T) {
			cluster.Kubectl(t, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", path(t, name))
			if strings.HasPrefix(name, "deploy/samples/policies/") {
				cluster.Kubectl(t, "apply", "--server-side", "--validate=strict", "-f", path(t, name))
			}
		})
	}
	if out, err := cluster.TryApply(t, unknownField, "--dry-run=server", "--validate=strict"); err == nil {
		t.Errorf("an unknown field is accepted: %s", out)
	}
}

// TestSamplePolicies: the samples are one repository that compiles; its one error is
// the one that its waiver accepts.
func TestSamplePolicies(t *testing.T) {
	options := compiler.Options{AsOf: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	result, found := compiler.Compile(os.DirFS(path(t, "deploy/samples/policies")), options)
	if result.Release == nil || len(found) != 1 || !found[0].Waived {
		t.Errorf("compiling the samples found %v", found)
	}
}

const unknownField = `
apiVersion: mesh-compile.dev/v1alpha1
kind: PolicySync
metadata: {name: wrong, namespace: mesh-system}
spec: {interval: 1m, sourcez: [], sources: [{name: a, cluster: {}}]}
`
