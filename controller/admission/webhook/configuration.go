package webhook

import (
	"slices"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names that users write or read.
const (
	// ConfigurationName is the one configuration that the role may write.
	ConfigurationName = "mesh-compile"
	// BreakGlass is the label of a namespace, and with "mesh-compile.dev:" the group of
	// users, that is told of and never refused.
	BreakGlass      = "mesh-compile.dev/break-glass"
	breakGlassGroup = "mesh-compile.dev:break-glass"
)

// Paths of the webhook.
const (
	ReviewPath = "/review"
	NotePath   = "/note"
	ProbePath  = "/probe"
)

// timeoutSeconds is how long the API server waits for an answer.
const timeoutSeconds = 5

// Resource is what is installed in the cluster of one kind.
type Resource struct {
	Group    string
	Versions []string
	Plural   string
}

// Target is where the API server finds the webhook, whom it trusts and what it asks
// about.
type Target struct {
	Namespace, Service string
	Account            string // service account of the role
	CABundle           []byte
	Failure            admissionregistration.FailurePolicyType // of writes
	Selector           *metav1.LabelSelector                   // of namespaces, besides those never asked about; nil is all
}

// In CEL, for webhooks and ValidatingAdmissionPolicies alike.
const (
	noBreakGlass = `!("` + breakGlassGroup + `" in request.userInfo.groups)`
	noNode       = `!("system:nodes" in request.userInfo.groups)`
	// Changed leaves out updates of nothing that the compiler reads.
	Changed = `request.operation == "CREATE" || has(object.spec) != has(oldObject.spec) || (has(object.spec) && object.spec != oldObject.spec)` +
		` || (has(object.metadata.labels) ? object.metadata.labels : {}) != (has(oldObject.metadata.labels) ? oldObject.metadata.labels : {})` +
		` || (has(object.metadata.annotations) ? object.metadata.annotations : {}) != (has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {})`
)

// NeverAsked leaves out whoever is never refused.
func NeverAsked() []admissionregistration.MatchCondition {
	return []admissionregistration.MatchCondition{
		{Name: "no-node", Expression: noNode},
		{Name: "no-break-glass", Expression: noBreakGlass},
	}
}

// Webhooks asks about every resource, by API group, so that what becomes of one group's
// reviews touches no other. Writes follow the failure policy; deletions are always
// Ignore, since whoever cannot delete cannot repair. Writes that are never refused are
// told of, and one entry is the role's own question whether it is reached.
func Webhooks(resources []Resource, t Target) []admissionregistration.ValidatingWebhook {
	if len(resources) == 0 {
		return nil
	}
	var writes, deletes []admissionregistration.ValidatingWebhook
	for _, group := range groups(resources) {
		write := t.entry(label(group[0].Group)+".write.mesh-compile.dev", ReviewPath, t.Failure, group, admissionregistration.Create, admissionregistration.Update)
		write.MatchConditions = append(NeverAsked(), admissionregistration.MatchCondition{Name: "changed", Expression: Changed})
		remove := t.entry(label(group[0].Group)+".delete.mesh-compile.dev", ReviewPath, admissionregistration.Ignore, group, admissionregistration.Delete)
		remove.MatchConditions = NeverAsked()
		writes, deletes = append(writes, write), append(deletes, remove)
	}
	return slices.Concat(writes, deletes, t.notes(resources), []admissionregistration.ValidatingWebhook{t.probe()})
}

// groups are the resources of each API group, sorted.
func groups(resources []Resource) [][]Resource {
	var out [][]Resource
	for _, r := range resources {
		i := slices.IndexFunc(out, func(g []Resource) bool { return g[0].Group == r.Group })
		if i < 0 {
			i, out = len(out), append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	slices.SortFunc(out, func(a, b []Resource) int { return strings.Compare(a[0].Group, b[0].Group) })
	return out
}

// label is an API group as one label of a DNS name.
func label(group string) string { return strings.ReplaceAll(group, ".", "-") }

// notes tell of writes that nothing is asked about: by members of the group, and in
// namespaces with the label.
func (t Target) notes(resources []Resource) []admissionregistration.ValidatingWebhook {
	all := []admissionregistration.OperationType{admissionregistration.Create, admissionregistration.Update, admissionregistration.Delete}
	by := t.entry("by.break-glass.mesh-compile.dev", NotePath, admissionregistration.Ignore, resources, all...)
	by.MatchConditions = []admissionregistration.MatchCondition{{Name: "break-glass", Expression: "!(" + noBreakGlass + ")"}}
	in := t.entry("in.break-glass.mesh-compile.dev", NotePath, admissionregistration.Ignore, resources, all...)
	in.MatchConditions = NeverAsked()
	in.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: BreakGlass, Operator: metav1.LabelSelectorOpExists}}}
	scope := admissionregistration.NamespacedScope // selectors do not leave out what is in no namespace
	for i := range in.Rules {
		in.Rules[i].Scope = &scope
	}
	return []admissionregistration.ValidatingWebhook{by, in}
}

// probe asks about one write that only the role makes, and only in dry run: that of
// the Lease that it may write anyway.
func (t Target) probe() admissionregistration.ValidatingWebhook {
	leases := []Resource{{Group: "coordination.k8s.io", Versions: []string{"v1"}, Plural: "leases"}}
	out := t.entry("probe.mesh-compile.dev", ProbePath, admissionregistration.Ignore, leases, admissionregistration.Update)
	out.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": t.Namespace}}
	out.MatchConditions = []admissionregistration.MatchCondition{
		{Name: "own", Expression: `request.userInfo.username == "system:serviceaccount:` + t.Namespace + `:` + t.Account + `"`},
		{Name: "dry-run", Expression: "request.dryRun"},
	}
	return out
}

// entry has every field that the API server would fill in, so that what is there can
// be compared with what is wanted.
func (t Target) entry(name, path string, failure admissionregistration.FailurePolicyType, resources []Resource, operations ...admissionregistration.OperationType) admissionregistration.ValidatingWebhook {
	match, effects := admissionregistration.Equivalent, admissionregistration.SideEffectClassNone
	seconds, port := int32(timeoutSeconds), int32(443)
	selector := Namespaces(t.Namespace)
	if t.Selector != nil {
		selector.MatchLabels = t.Selector.MatchLabels
		selector.MatchExpressions = append(selector.MatchExpressions, t.Selector.MatchExpressions...)
	}
	return admissionregistration.ValidatingWebhook{
		Name: name,
		ClientConfig: admissionregistration.WebhookClientConfig{
			Service:  &admissionregistration.ServiceReference{Namespace: t.Namespace, Name: t.Service, Path: &path, Port: &port},
			CABundle: t.CABundle,
		},
		Rules:                   rules(resources, operations),
		FailurePolicy:           &failure,
		MatchPolicy:             &match,
		SideEffects:             &effects,
		TimeoutSeconds:          &seconds,
		AdmissionReviewVersions: []string{"v1"},
		NamespaceSelector:       selector,
		ObjectSelector:          &metav1.LabelSelector{},
	}
}

func rules(resources []Resource, operations []admissionregistration.OperationType) []admissionregistration.RuleWithOperations {
	var out []admissionregistration.RuleWithOperations
	for _, r := range resources {
		scope := admissionregistration.AllScopes
		out = append(out, admissionregistration.RuleWithOperations{
			Operations: operations,
			Rule:       admissionregistration.Rule{APIGroups: []string{r.Group}, APIVersions: r.Versions, Resources: []string{r.Plural}, Scope: &scope},
		})
	}
	return out
}

// Namespaces leaves out what the cluster and the control plane need to come up.
func Namespaces(own string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"kube-system", "kube-public", "kube-node-lease", own}},
		{Key: BreakGlass, Operator: metav1.LabelSelectorOpDoesNotExist},
	}}
}
