package reconcile

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Only the very object that a PolicySync names wakes it.
func TestSyncsOf(t *testing.T) {
	s := newSite(t)
	s.sync.Spec = v1alpha1.PolicySyncSpec{
		Sources: []v1alpha1.PolicySource{
			{Name: "here", SourceRef: &v1alpha1.SourceRef{Kind: "GitRepository", Name: "here"}},
			{Name: "flux", SourceRef: &v1alpha1.SourceRef{Kind: "Bucket", Name: "there", Namespace: "flux-system"}},
		},
		Release:   &v1alpha1.ReleaseSource{SourceRef: &v1alpha1.SourceRef{Kind: "OCIRepository", Name: "release"}},
		DependsOn: []v1alpha1.Dependency{{Name: "crds"}, {APIVersion: "helm.toolkit.fluxcd.io/v2", Kind: "HelmRelease", Name: "chart", Namespace: "apps"}},
	}
	if err := s.Client.Create(t.Context(), s.sync); err != nil {
		t.Fatal(err)
	}
	const sources, kustomize, helm = "source.toolkit.fluxcd.io/v1", "kustomize.toolkit.fluxcd.io/v1", "helm.toolkit.fluxcd.io/v2"
	for _, c := range []struct {
		version, kind, namespace, name string
		want                           int
	}{
		{sources, "GitRepository", system, "here", 1},
		{sources, "GitRepository", "evil", "here", 0},
		{sources, "Bucket", system, "here", 0},
		{sources, "Bucket", "flux-system", "there", 1},
		{sources, "Bucket", system, "there", 0},
		{sources, "OCIRepository", system, "release", 1},
		{sources, "OCIRepository", "evil", "release", 0},
		{kustomize, "Kustomization", system, "crds", 1},
		{kustomize, "Kustomization", "evil", "crds", 0},
		{helm, "HelmRelease", system, "crds", 0},
		{helm, "HelmRelease", "apps", "chart", 1},
	} {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(c.version)
		u.SetKind(c.kind)
		u.SetNamespace(c.namespace)
		u.SetName(c.name)
		if got := s.syncsOf(t.Context(), u); len(got) != c.want {
			t.Errorf("%s %s/%s wakes %v", c.kind, c.namespace, c.name, got)
		}
	}
}
