package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Reviewed are those of the kinds that are installed which are policies: facts are
// never refused.
func Reviewed(installed []objects.Resource) []Resource {
	var out []Resource
	for _, r := range installed {
		if r.Policy {
			out = append(out, Resource{Group: r.Group, Versions: r.Versions, Plural: r.Plural})
		}
	}
	return out
}

// Configuration reads the one in the cluster.
func Configuration(ctx context.Context, r client.Reader) (*admissionregistration.ValidatingWebhookConfiguration, error) {
	var have admissionregistration.ValidatingWebhookConfiguration
	if err := r.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &have); err != nil {
		return nil, fmt.Errorf("reading ValidatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	return &have, nil
}

// Write makes the configuration in the cluster what is wanted. The object itself is
// applied, and deleted, with the manifests: this role may do neither.
func Write(ctx context.Context, c client.Client, have *admissionregistration.ValidatingWebhookConfiguration, want []admissionregistration.ValidatingWebhook) error {
	if equality.Semantic.DeepEqual(want, have.Webhooks) {
		return nil
	}
	next := have.DeepCopy()
	next.Webhooks = want
	if err := c.Update(ctx, next); err != nil {
		return fmt.Errorf("writing ValidatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	return nil
}

// FailsClosed reports whether writes are refused while nobody answers.
func FailsClosed(c *admissionregistration.ValidatingWebhookConfiguration) bool {
	return slices.ContainsFunc(c.Webhooks, func(w admissionregistration.ValidatingWebhook) bool {
		return w.FailurePolicy != nil && *w.FailurePolicy == admissionregistration.Fail
	})
}

// Trusts reports whether every entry trusts the certificates of a PEM bundle.
func Trusts(c *admissionregistration.ValidatingWebhookConfiguration, roots []byte) bool {
	return len(c.Webhooks) > 0 && !slices.ContainsFunc(c.Webhooks, func(w admissionregistration.ValidatingWebhook) bool {
		return !strings.Contains(string(w.ClientConfig.CABundle), string(roots))
	})
}
