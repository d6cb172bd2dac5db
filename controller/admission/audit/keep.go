package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Name of the reports, one in each namespace.
const Name = "mesh-compile"

// How often is looked for a change, and how long a report may be wrong that somebody
// else changed.
const (
	every  = 2 * time.Second
	atMost = 5 * time.Minute
)

// Keeper writes the reports.
type Keeper struct {
	Client    client.Client // reads are not cached
	Namespace string        // of the control plane
	// Objects of the cluster, nil while they are not all read.
	Objects func() *objects.Set
	Judge   func(context.Context) ([]admission.Finding, error)
	Log     *slog.Logger
}

// Run keeps the reports until ctx ends. It judges when the objects have not changed
// for one look: a commit is many of them.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var judged, last *objects.Set
	var at time.Time
	for {
		now := k.Objects()
		if now != nil && (now != judged && now == last || time.Since(at) > atMost) {
			if err := k.write(ctx); err != nil {
				k.Log.Warn("the audit reports may be old", "error", err)
			} else {
				judged, at = now, time.Now()
			}
		}
		last = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (k *Keeper) write(ctx context.Context) error {
	found, err := k.Judge(ctx)
	if err != nil {
		return err
	}
	want := reports(found, k.Namespace)
	var have v1alpha1.AuditReportList
	if err := k.Client.List(ctx, &have); err != nil {
		return fmt.Errorf("reading the audit reports: %w", err)
	}
	var failed []error // one namespace keeps no other from its report
	for i := range have.Items {
		r := &have.Items[i]
		if r.Name != Name {
			continue // somebody else's
		}
		failed = append(failed, k.settle(ctx, r, want[r.Namespace]))
		delete(want, r.Namespace)
	}
	for _, r := range want {
		if err := gone(k.Client.Create(ctx, r)); err != nil {
			failed = append(failed, fmt.Errorf("making the audit report of namespace %s: %w", r.Namespace, err))
		}
	}
	return errors.Join(failed...)
}

// settle makes a report what is wanted, nothing where that is nil.
func (k *Keeper) settle(ctx context.Context, have, want *v1alpha1.AuditReport) error {
	if want == nil {
		if err := gone(k.Client.Delete(ctx, have)); err != nil {
			return fmt.Errorf("removing the audit report of namespace %s: %w", have.Namespace, err)
		}
		return nil
	}
	if have.Errors == want.Errors && have.Warnings == want.Warnings && equality.Semantic.DeepEqual(have.Findings, want.Findings) {
		return nil
	}
	have.Errors, have.Warnings, have.Findings = want.Errors, want.Warnings, want.Findings
	if err := gone(k.Client.Update(ctx, have)); err != nil {
		return fmt.Errorf("writing the audit report of namespace %s: %w", have.Namespace, err)
	}
	return nil
}

// gone leaves out that the namespace or the report is going.
func gone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}
