package webhook

import (
	admissionregistration "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names that users write or read.
const (
	// ConfigurationName is the one configuration that the role may write.
	ConfigurationName = "mesh-compile"
	// BreakGlass is the label of a namespace, and with "mesh-compile.dev:" the group of
	// users, that nothing is asked about.
	BreakGlass      = "mesh-compile.dev/break-glass"
	breakGlassGroup = "mesh-compile.dev:break-glass"
)

// timeoutSeconds is how long the API server waits for an answer.
const timeoutSeconds = 5

// Resource is what is installed in the cluster of one kind.
type Resource struct {
	Group    string
	Versions []string
	Plural   string
}

// Target is where the API server finds the webhook and whom it trusts.
type Target struct {
	Namespace, Service, Path string
	CABundle                 []byte
}

// Webhooks asks about every resource. Writes follow failurePolicy; deletions are always
// Ignore, since whoever cannot delete cannot repair.
func Webhooks(resources []Resource, target Target, failure admissionregistration.FailurePolicyType) []admissionregistration.ValidatingWebhook {
	if len(resources) == 0 {
		return nil
	}
	return []admissionregistration.ValidatingWebhook{
		entry("write.mesh-compile.dev", resources, target, failure, admissionregistration.Create, admissionregistration.Update),
		entry("delete.mesh-compile.dev", resources, target, admissionregistration.Ignore, admissionregistration.Delete),
	}
}

func entry(name string, resources []Resource, target Target, failure admissionregistration.FailurePolicyType, operations ...admissionregistration.OperationType) admissionregistration.ValidatingWebhook {
	match, effects := admissionregistration.Equivalent, admissionregistration.SideEffectClassNone
	seconds := int32(timeoutSeconds)
	return admissionregistration.ValidatingWebhook{
		Name: name,
		ClientConfig: admissionregistration.WebhookClientConfig{
			Service:  &admissionregistration.ServiceReference{Namespace: target.Namespace, Name: target.Service, Path: &target.Path},
			CABundle: target.CABundle,
		},
		Rules:                   rules(resources, operations),
		FailurePolicy:           &failure,
		MatchPolicy:             &match,
		SideEffects:             &effects,
		TimeoutSeconds:          &seconds,
		AdmissionReviewVersions: []string{"v1"},
		NamespaceSelector:       namespaces(target.Namespace),
		MatchConditions: []admissionregistration.MatchCondition{
			{Name: "no-node", Expression: `!("system:nodes" in request.userInfo.groups)`},
			{Name: "no-break-glass", Expression: `!("` + breakGlassGroup + `" in request.userInfo.groups)`},
		},
	}
}

func rules(resources []Resource, operations []admissionregistration.OperationType) []admissionregistration.RuleWithOperations {
	var out []admissionregistration.RuleWithOperations
	for _, r := range resources {
		out = append(out, admissionregistration.RuleWithOperations{
			Operations: operations,
			Rule:       admissionregistration.Rule{APIGroups: []string{r.Group}, APIVersions: r.Versions, Resources: []string{r.Plural}},
		})
	}
	return out
}

// namespaces leaves out what the cluster and the control plane need to come up.
func namespaces(own string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system", "kube-public", "kube-node-lease", own}},
		{Key: BreakGlass, Operator: metav1.LabelSelectorOpDoesNotExist},
	}}
}
