package webhook_test

import (
	"slices"
	"testing"

	admissionregistration "k8s.io/api/admissionregistration/v1"

	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
)

func TestWebhooks(t *testing.T) {
	target := webhook.Target{Namespace: "mesh-system", Service: "mesh-admit", Path: "/validate"}
	if got := webhook.Webhooks(nil, target, admissionregistration.Fail); got != nil {
		t.Errorf("without resources: %v", got)
	}
	resources := []webhook.Resource{{Group: "networking.istio.io", Versions: []string{"v1"}, Plural: "virtualservices"}}
	for _, w := range webhook.Webhooks(resources, target, admissionregistration.Fail) {
		deletes := slices.Contains(w.Rules[0].Operations, admissionregistration.Delete)
		if deletes == (*w.FailurePolicy == admissionregistration.Fail) {
			t.Errorf("%s: deletes %t with failurePolicy %s", w.Name, deletes, *w.FailurePolicy)
		}
		for _, namespace := range []string{"kube-system", "kube-public", "kube-node-lease", "mesh-system"} {
			if !slices.Contains(w.NamespaceSelector.MatchExpressions[0].Values, namespace) {
				t.Errorf("%s asks about namespace %s", w.Name, namespace)
			}
		}
	}
}
