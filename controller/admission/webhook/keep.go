package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Installed returns those of the kinds that the compiler reads whose CRD is
// installed, and which are policies: facts are never refused.
func Installed(mapper meta.RESTMapper) ([]Resource, error) {
	var out []Resource
	for _, k := range objects.Kinds() {
		if !k.Policy {
			continue
		}
		m, err := mapper.RESTMapping(schema.GroupKind{Group: k.Group, Kind: k.Kind}, k.Versions...)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("finding %s of %s: %w", k.Kind, k.Group, err)
		}
		out = append(out, Resource{Group: k.Group, Versions: k.Versions, Plural: m.Resource.Resource})
	}
	slices.SortFunc(out, func(a, b Resource) int { return strings.Compare(a.Group+"/"+a.Plural, b.Group+"/"+b.Plural) })
	return out, nil
}

// Write makes the configuration in the cluster what is wanted. The object itself is
// applied, and deleted, with the manifests: this role may do neither.
func Write(ctx context.Context, c client.Client, want []admissionregistration.ValidatingWebhook) error {
	var have admissionregistration.ValidatingWebhookConfiguration
	if err := c.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &have); err != nil {
		return fmt.Errorf("reading ValidatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	next := have.DeepCopy()
	next.Webhooks = want
	if equality.Semantic.DeepDerivative(next.Webhooks, have.Webhooks) && len(next.Webhooks) == len(have.Webhooks) {
		return nil
	}
	if err := c.Update(ctx, next); err != nil {
		return fmt.Errorf("writing ValidatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	return nil
}
