package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/render"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// maxRendered is how much text is published, bytes: memory holds it for a moment.
const maxRendered = 64 << 20

// export publishes the policies that were compiled, evaluated to YAML, as a Flux
// source. The archive is there before the status names it.
func (r *Reconciler) export(ctx context.Context, a *attempt) error {
	s := a.sync
	if s.Spec.Artifact == nil {
		return nil
	}
	if len(a.sources) == 0 { // an archive of nothing would have Flux prune what it applied
		return stall(v1alpha1.ReasonArtifactFailed, errors.New("spec.artifact publishes what sourceRefs hold, and there is none"))
	}
	have, err := r.exported(ctx, s)
	if err != nil {
		return err
	}
	data, err := r.rendered(ctx, a)
	if err != nil {
		return err
	}
	digest, size := artifact.DigestOf(data), int64(len(data))
	path := fmt.Sprintf("externalartifact/%s/%s/%s.tar.gz", s.Namespace, s.Spec.Artifact.Name, digest.Hex())
	r.Archives.put(path, data)
	next := meta.Artifact{
		Path: path, URL: r.Archives.URL + "/" + path, Revision: a.revision, Digest: digest.String(),
		Size: &size, LastUpdateTime: metav1.Now().Rfc3339Copy(),
	}
	if have != nil && have.Status.Artifact != nil && same(*have.Status.Artifact, next) && apimeta.IsStatusConditionTrue(have.Status.Conditions, meta.ReadyCondition) {
		return nil
	}
	if err := r.applyArtifact(ctx, s); err != nil {
		return retry(v1alpha1.ReasonArtifactFailed, err)
	}
	ready := metav1.Condition{Status: metav1.ConditionTrue, Reason: meta.SucceededReason, Message: bounded("stored artifact for revision "+a.revision, maxMessage)}
	if err := r.applyArtifactStatus(ctx, s, &next, ready, have); err != nil {
		return retry(v1alpha1.ReasonArtifactFailed, err)
	}
	return nil
}

// same compares all but the time.
func same(a, b meta.Artifact) bool {
	return a.Path == b.Path && a.URL == b.URL && a.Revision == b.Revision && a.Digest == b.Digest
}

// exported is the ExternalArtifact of a PolicySync, nil where there is none. One of
// somebody else is not taken.
func (r *Reconciler) exported(ctx context.Context, s *v1alpha1.PolicySync) (*sourcev1.ExternalArtifact, error) {
	have := &sourcev1.ExternalArtifact{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: string(s.Spec.Artifact.Name)}, have)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil: // Flux may come later
		return nil, retry(v1alpha1.ReasonArtifactFailed, fmt.Errorf("reading ExternalArtifact %s: %w", s.Spec.Artifact.Name, err))
	case !owned(have, s):
		return nil, stall(v1alpha1.ReasonConflict, fmt.Errorf("ExternalArtifact %s is not this PolicySync's: name another in spec.artifact, or delete it", have.Name))
	}
	return have, nil
}

func owned(o client.Object, s *v1alpha1.PolicySync) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == s.UID })
}

// rendered is the archive of what the sources of Flux hold: objects of the cluster are
// somebody's already. What the compiler was given up for goes on
// beside, and is waited for.
func (r *Reconciler) rendered(ctx context.Context, a *attempt) ([]byte, error) {
	select {
	case r.compiling <- struct{}{}:
	case <-ctx.Done():
		return nil, retry(v1alpha1.ReasonArtifactFailed, fmt.Errorf("rendering the policies: %w", ctx.Err()))
	}
	type outcome struct {
		data []byte
		err  error
	}
	done, tree, opt := make(chan outcome, 1), a.tree(nil), render.Options{Namespace: string(a.sync.Spec.Namespace), Set: a.sync.Spec.Set}
	go func() {
		defer func() { <-r.compiling }()
		var o outcome
		o.data, o.err = guarded(func() ([]byte, error) {
			docs, _, found := render.Load(tree, opt)
			if n := found.Count(diag.Error) + found.Count(diag.Critical); n > 0 { // in what the compiler does not read
				return nil, fmt.Errorf("%d errors, the first: %s", n, summarize(found).First[0])
			}
			text, err := render.Text(docs)
			if err == nil && len(text) > maxRendered {
				err = fmt.Errorf("they have %d bytes as YAML, at most %d are published", len(text), maxRendered)
			}
			if err != nil {
				return nil, err
			}
			return pack("policies.yaml", text)
		})
		done <- o
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, stall(v1alpha1.ReasonArtifactFailed, fmt.Errorf("rendering the policies: %w", o.err))
		}
		return o.data, nil
	case <-ctx.Done():
		return nil, stall(v1alpha1.ReasonArtifactFailed, fmt.Errorf("the policies take longer to render than the timeout of the PolicySync: %w", ctx.Err()))
	}
}

// applyArtifact makes the object, which goes with the PolicySync.
func (r *Reconciler) applyArtifact(ctx context.Context, s *v1alpha1.PolicySync) error {
	o := externalArtifact(s)
	o.SetLabels(map[string]string{"app.kubernetes.io/part-of": "mesh-compile"})
	o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: v1alpha1.APIVersion, Kind: "PolicySync", Name: s.Name, UID: s.UID}})
	o.Object["spec"] = map[string]any{"sourceRef": map[string]any{"apiVersion": v1alpha1.APIVersion, "kind": "PolicySync", "name": s.Name}}
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing ExternalArtifact %s: %w", o.GetName(), err)
	}
	return nil
}

func externalArtifact(s *v1alpha1.PolicySync) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(sourceVersion.WithKind(sourcev1.ExternalArtifactKind))
	o.SetNamespace(s.Namespace)
	o.SetName(string(s.Spec.Artifact.Name))
	return o
}

// applyArtifactStatus writes what consumers read; without an artifact they wait.
func (r *Reconciler) applyArtifactStatus(ctx context.Context, s *v1alpha1.PolicySync, next *meta.Artifact, ready metav1.Condition, have *sourcev1.ExternalArtifact) error {
	ready.Type = meta.ReadyCondition
	status := sourcev1.ExternalArtifactStatus{Artifact: next}
	if have != nil {
		ready.ObservedGeneration = have.Generation
		status.Conditions = slices.Clone(have.Status.Conditions)
	}
	apimeta.SetStatusCondition(&status.Conditions, ready)
	o := externalArtifact(s)
	var err error
	if o.Object["status"], err = runtime.DefaultUnstructuredConverter.ToUnstructured(&status); err != nil {
		return err
	}
	if err := r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing the status of ExternalArtifact %s: %w", o.GetName(), err)
	}
	return nil
}

// withdraw takes back what a status says of an archive that is not here: an attempt
// has failed since this process began. Whoever applied the archive keeps what it has.
func (r *Reconciler) withdraw(ctx context.Context, s *v1alpha1.PolicySync) error {
	if s.Spec.Artifact == nil {
		return nil
	}
	have, err := r.exported(ctx, s)
	if err != nil || have == nil || have.Status.Artifact == nil {
		return nil // the attempt has said why
	}
	if _, ok := r.Archives.get(have.Status.Artifact.Path); ok {
		return nil
	}
	return r.applyArtifactStatus(ctx, s, nil, metav1.Condition{
		Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonArtifactFailed,
		Message: "the archive is gone, and is made again when PolicySync " + s.Name + " is ready",
	}, have)
}

// disown deletes the ExternalArtifacts that a PolicySync no longer names.
func (r *Reconciler) disown(ctx context.Context, a *attempt) error {
	s := a.sync
	if s.Generation == s.Status.ObservedGeneration {
		return nil
	}
	var all sourcev1.ExternalArtifactList
	err := r.Reader.List(ctx, &all, client.InNamespace(s.Namespace))
	if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil // there is no Flux
	}
	if err != nil {
		return retry(v1alpha1.ReasonArtifactFailed, fmt.Errorf("listing ExternalArtifacts: %w", err))
	}
	for i := range all.Items {
		o := &all.Items[i]
		if !owned(o, s) || s.Spec.Artifact != nil && o.Name == string(s.Spec.Artifact.Name) {
			continue
		}
		if err := r.Client.Delete(ctx, o, client.Preconditions{UID: &o.UID}); client.IgnoreNotFound(err) != nil {
			return retry(v1alpha1.ReasonArtifactFailed, fmt.Errorf("deleting ExternalArtifact %s: %w", o.Name, err))
		}
	}
	return nil
}
