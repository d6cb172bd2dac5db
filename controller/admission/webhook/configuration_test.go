package webhook_test

import (
	"slices"
	"strings"
	"testing"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
)

// target fails closed.
var target = webhook.Target{Namespace: "mesh-system", Service: "mesh-admit", Account: "mesh-admit", Failure: admissionregistration.Fail}

var installed = []webhook.Resource{
	{Group: "mesh-compile.dev", Versions: []string{"v1alpha1"}, Plural: "meshroutes"},
	{Group: "networking.istio.io", Versions: []string{"v1"}, Plural: "virtualservices"},
	{Group: "networking.istio.io", Versions: []string{"v1"}, Plural: "destinationrules"},
}

func TestWebhooks(t *testing.T) {
	if got := webhook.Webhooks(nil, target); got != nil {
		t.Errorf("without resources: %v", got)
	}
	var failing []string
	for _, w := range webhook.Webhooks(installed, target) {
		if *w.FailurePolicy == admissionregistration.Ignore {
			continue
		}
		failing = append(failing, w.Name)
		if slices.Contains(w.Rules[0].Operations, admissionregistration.Delete) {
			t.Errorf("%s: deletions fail closed", w.Name)
		}
		for _, namespace := range []string{"kube-system", "kube-public", "kube-node-lease", "mesh-system"} {
			if !slices.Contains(w.NamespaceSelector.MatchExpressions[0].Values, namespace) {
				t.Errorf("%s asks about namespace %s", w.Name, namespace)
			}
		}
	}
	if want := []string{"mesh-compile-dev.write.mesh-compile.dev", "networking-istio-io.write.mesh-compile.dev"}; !slices.Equal(failing, want) {
		t.Errorf("%q fail closed, want %q", failing, want)
	}
}

// TestSelector: what selects namespaces narrows, and never widens.
func TestSelector(t *testing.T) {
	narrow := target
	var err error
	if narrow.Selector, err = metav1.ParseToLabelSelector("mesh=shop,team notin (none)"); err != nil {
		t.Fatal(err)
	}
	wide := webhook.Webhooks(installed, target)
	for i, w := range webhook.Webhooks(installed, narrow) {
		selector := metav1.FormatLabelSelector(w.NamespaceSelector)
		if strings.HasSuffix(w.Name, "write.mesh-compile.dev") &&
			(!strings.Contains(selector, "mesh=shop") || len(w.NamespaceSelector.MatchExpressions) <= len(wide[i].NamespaceSelector.MatchExpressions)) {
			t.Errorf("%s: %s", w.Name, selector)
		}
	}
}
