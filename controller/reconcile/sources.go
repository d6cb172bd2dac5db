package reconcile

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/fetch"
)

// sourceVersion is Flux's API that has all kinds of sources.
var sourceVersion = schema.GroupVersion{Group: "source.toolkit.fluxcd.io", Version: "v1"}

// source is one part of the policies, fetched.
type source struct {
	name string
	dir  string
}

// find fetches the artifact of each source.
func (r *Reconciler) find(ctx context.Context, a *attempt) error {
	var revisions []string
	var found []fetched
	for _, s := range a.sync.Spec.Sources {
		f, err := r.artifactOf(ctx, a.sync, s)
		if err != nil {
			return err
		}
		found, revisions = append(found, f), append(revisions, f.artifact.Revision)
		if a.commit == "" && s.SourceRef.Kind == "GitRepository" {
			a.commit = commitOf(f.artifact.Revision)
		}
	}
	a.revision = strings.Join(revisions, ";")
	for _, f := range found {
		dir, err := fetch.Artifact(ctx, &f.artifact)
		if err != nil {
			return retry(v1alpha1.ReasonFetchFailed, fmt.Errorf("source %s: %w", f.source.Name, err))
		}
		a.cleanup = append(a.cleanup, func() { os.RemoveAll(dir) })
		sub, err := below(dir, f.source.Path)
		if err != nil {
			return stall(v1alpha1.ReasonFetchFailed, fmt.Errorf("source %s: %w", f.source.Name, err))
		}
		a.sources = append(a.sources, source{string(f.source.Name), sub})
	}
	return nil
}

type fetched struct {
	source   v1alpha1.PolicySource
	artifact meta.Artifact
}

// artifactOf reads the status of a Flux source.
func (r *Reconciler) artifactOf(ctx context.Context, sync *v1alpha1.PolicySync, s v1alpha1.PolicySource) (fetched, error) {
	out := fetched{source: s}
	ref := *s.SourceRef
	key := client.ObjectKey{Namespace: string(ref.Namespace), Name: string(ref.Name)}
	if key.Namespace == "" {
		key.Namespace = sync.Namespace
	}
	if err := r.watch(ref.Kind); err != nil {
		return out, retry(v1alpha1.ReasonSourceNotReady, err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(sourceVersion.WithKind(ref.Kind))
	if err := r.Reader.Get(ctx, key, u); err != nil {
		return out, retry(v1alpha1.ReasonSourceNotReady, fmt.Errorf("source %s: reading %s %s: %w", s.Name, ref.Kind, key, err))
	}
	artifact, ok, _ := unstructured.NestedMap(u.Object, "status", "artifact")
	if !ok {
		return out, retry(v1alpha1.ReasonSourceNotReady, fmt.Errorf("source %s: %s %s has no artifact yet", s.Name, ref.Kind, key))
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(artifact, &out.artifact); err != nil {
		return out, retry(v1alpha1.ReasonSourceNotReady, fmt.Errorf("source %s: the artifact of %s %s: %w", s.Name, ref.Kind, key, err))
	}
	return out, nil
}

// commitOf is the commit of a revision, "main@sha1:<commit>".
func commitOf(revision string) string {
	_, digest, _ := strings.Cut(revision, "@")
	_, commit, _ := strings.Cut(digest, ":")
	return commit
}

// below is a directory of the artifact. A path never leads out of it.
func below(dir, path string) (string, error) {
	if path == "" {
		return dir, nil
	}
	if !filepath.IsLocal(path) {
		return "", fmt.Errorf("path %q leads out of the artifact", path)
	}
	sub := filepath.Join(dir, path)
	if info, err := os.Stat(sub); err != nil || !info.IsDir() {
		return "", fmt.Errorf("path %q is no directory of the artifact", path)
	}
	return sub, nil
}

// tree is one source, or several as directories of their names.
func (a *attempt) tree() fs.FS {
	if len(a.sources) == 1 {
		return os.DirFS(a.sources[0].dir)
	}
	t := joined{}
	for _, s := range a.sources {
		t[s.name] = os.DirFS(s.dir)
	}
	return t
}

// dependency says why a Flux object is not Ready, nil where it is.
func (r *Reconciler) dependency(ctx context.Context, namespace string, d v1alpha1.Dependency) error {
	version, kind := d.APIVersion, d.Kind
	if version == "" {
		version = "kustomize.toolkit.fluxcd.io/v1"
	}
	if kind == "" {
		kind = "Kustomization"
	}
	if d.Namespace != "" {
		namespace = string(d.Namespace)
	}
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(version)
	u.SetKind(kind)
	key := client.ObjectKey{Namespace: namespace, Name: string(d.Name)}
	if err := r.Reader.Get(ctx, key, u); err != nil {
		return fmt.Errorf("reading %s %s: %w", kind, key, err)
	}
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		c, _ := item.(map[string]any)
		if c["type"] == "Ready" && c["status"] == "True" && observed == u.GetGeneration() {
			return nil
		}
	}
	return fmt.Errorf("%s %s is not ready", kind, key)
}
