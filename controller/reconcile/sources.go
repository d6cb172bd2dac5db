package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/fetch"
	"github.com/mesh-compile/mesh-compile/controller/objects"
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
		if s.Cluster != nil {
			revision, err := r.cluster(ctx, a, s)
			if err != nil {
				return err
			}
			revisions = append(revisions, revision)
			continue
		}
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
	key := sourceKey(sync.Namespace, &ref)
	if err := r.watch(sourceVersion.WithKind(ref.Kind), artifactChanged()); err != nil {
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

// sourceKey is the object that a PolicySync in a namespace means.
func sourceKey(namespace string, ref *v1alpha1.SourceRef) client.ObjectKey {
	return client.ObjectKey{Namespace: cmp.Or(string(ref.Namespace), namespace), Name: string(ref.Name)}
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

// tree is one source, or several as directories of their names. The objects of the
// cluster, nil without any, are one of them.
func (a *attempt) tree(cluster *objects.Set) fs.FS {
	if len(a.sources) == 1 && cluster == nil {
		return os.DirFS(a.sources[0].dir)
	}
	t := joined{}
	for _, s := range a.sources {
		t[s.name] = os.DirFS(s.dir)
	}
	switch {
	case cluster == nil:
		return t
	case len(t) == 0:
		return cluster
	}
	t[a.view.dir] = cluster
	return t
}

// dependency says why a Flux object is not Ready, nil where it is.
func (r *Reconciler) dependency(ctx context.Context, namespace string, d v1alpha1.Dependency) error {
	kind, key := dependencyOf(namespace, d)
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	if slices.Contains(watchedGroups, kind.Group) {
		if err := r.watch(kind, becameReady()); err != nil {
			return err
		}
	}
	if err := r.Reader.Get(ctx, key, u); err != nil {
		return fmt.Errorf("reading %s %s: %w", kind.Kind, key, err)
	}
	if ready(u) {
		return nil
	}
	return fmt.Errorf("%s %s is not ready", kind, key)
}

// dependencyOf is the object that a PolicySync in a namespace waits for.
func dependencyOf(namespace string, d v1alpha1.Dependency) (schema.GroupVersionKind, client.ObjectKey) {
	kind := schema.FromAPIVersionAndKind(cmp.Or(d.APIVersion, "kustomize.toolkit.fluxcd.io/v1"), cmp.Or(d.Kind, "Kustomization"))
	return kind, client.ObjectKey{Namespace: cmp.Or(string(d.Namespace), namespace), Name: string(d.Name)}
}

// watchedGroups are what this role may watch; others are looked at each retryInterval.
var watchedGroups = []string{"kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"}

// ready reports whether an object is, as its controller last saw it.
func ready(u *unstructured.Unstructured) bool {
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return observed == u.GetGeneration() && slices.ContainsFunc(list, func(item any) bool {
		c, _ := item.(map[string]any)
		return c["type"] == "Ready" && c["status"] == "True"
	})
}
