package deploy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// filled is the webhook configuration as the admit role leaves it: closed, and nobody
// answers.
const filled = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: mesh-compile}
webhooks:
- name: mesh.mesh-compile.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 1
  clientConfig: {service: {name: mesh-admit, namespace: mesh-system, path: /review}}
  namespaceSelector:
    matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [mesh-system, kube-system]}]
  rules: [{apiGroups: [mesh-compile.dev], apiVersions: [v1alpha1], resources: [accesspolicies, policysyncs], operations: [CREATE, UPDATE]}]
`

// objects are what runs and what was made, when everything is deleted.
const objects = `
apiVersion: v1
kind: Namespace
metadata: {name: farewell}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: AccessPolicy
metadata: {name: payment, namespace: farewell}
spec: {service: payment, allow: [{name: a, from: {anyone: true}, to: {anything: true}}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: PolicySync
metadata: {name: mesh, namespace: mesh-system}
spec: {interval: 10m, sources: [{name: cluster, cluster: {}}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: Release
metadata: {name: mesh-1, namespace: mesh-system}
spec: {sync: mesh, revision: cluster, content: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
`

// TestAppliedAgain: what the admit role wrote stays, whoever applies the manifests.
func TestAppliedAgain(t *testing.T) {
	cluster := installed(t)
	fill(t, cluster)
	defer empty(t, cluster)
	for _, how := range [][]string{{"--server-side"}, {"--server-side=false"}} {
		if out, err := cluster.TryKubectl(t, "", append([]string{"apply", "-k", path(t, complete)}, how...)...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := cluster.Kubectl(t, "get", "validatingwebhookconfiguration", "mesh-compile", "-o", "jsonpath={.webhooks[*].name}"); got != "mesh.mesh-compile.dev" {
			t.Errorf("after kubectl apply %s the configuration has the webhooks %q", how, got)
		}
	}
}

// fill writes the webhook configuration as the admit role does.
func fill(t *testing.T, cluster *kubetest.Cluster) {
	t.Helper()
	asAdmit(t, cluster, filled)
}

func empty(t *testing.T, cluster *kubetest.Cluster) {
	t.Helper()
	head, _, _ := strings.Cut(filled, "webhooks:")
	asAdmit(t, cluster, head)
}

func asAdmit(t *testing.T, cluster *kubetest.Cluster, configuration string) {
	t.Helper()
	if out, err := cluster.TryKubectl(t, configuration, "apply", "--server-side", "--field-manager=mesh-admit", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestUninstall deletes everything while no role runs and the webhook is closed, and
// looks for what is left.
func TestUninstall(t *testing.T) {
	cluster := installed(t)
	cluster.Apply(t, objects)
	fill(t, cluster)
	cluster.Kubectl(t, "delete", "--timeout=60s", "--ignore-not-found", "-k", path(t, complete)) // the namespace takes some of it with it
	for _, resource := range []string{
		"customresourcedefinitions", "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
		"validatingadmissionpolicies", "validatingadmissionpolicybindings", "clusterroles", "clusterrolebindings", "namespaces",
	} {
		if left := lines(cluster.Kubectl(t, "get", resource, "-o", "name"), "mesh"); len(left) > 0 {
			t.Errorf("deleting left %v", left)
		}
	}
	gone(t, cluster, "farewell")
	install = sync.Once{} // for whoever runs after this
}

// lines of a text that contain a word.
func lines(text, word string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// gone deletes a namespace that held our kinds and waits until it is.
func gone(t *testing.T, cluster *kubetest.Cluster, name string) {
	t.Helper()
	cluster.Kubectl(t, "delete", "namespace", name, "--wait=false")
	kubetest.Until(t, func(context.Context) error {
		if left := cluster.Kubectl(t, "get", "namespace", name, "--ignore-not-found", "-o", "yaml"); left != "" {
			return fmt.Errorf("namespace %s is still there:\n%s", name, left)
		}
		return nil
	})
}
