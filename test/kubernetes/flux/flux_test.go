package flux_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/flux"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const good = "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: catalog, namespace: pushed}\nspec:\n  service: catalog\n  rules: [{name: all, to: [{version: v1, weight: 100}]}]\n"

// TestPush: a commit that is pushed is in the cluster, one that the API server refuses changes
// nothing and says why, and what a commit removes goes away.
func TestPush(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts kustomize-controller")
	}
	c := kubetest.Start(t)
	flux.InstallCRDs(t, c)
	c.Namespace(t, "pushed", nil)
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "route.yaml"), []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	repository, publisher := flux.NewRepository(t, files), flux.NewPublisher(t, c)
	k := flux.StartKustomize(t, c)
	revision := publisher.Git(t, "policies", repository)
	k.Kustomization(t, "policies", "GitRepository", "policies", "./")
	k.Applied(t, "policies", revision)

	repository.Write(t, "weights.yaml", strings.NewReplacer("name: catalog", "name: other", "weight: 100", "weight: -1").Replace(good))
	repository.Push(t, "a weight that no CRD takes")
	if message := k.Refused(t, "policies", publisher.Git(t, "policies", repository)); !strings.Contains(message, "weight") {
		t.Errorf("the message is %q", message)
	}
	repository.Write(t, "weights.yaml", "")
	repository.Write(t, "route.yaml", "")
	repository.Write(t, "configmap.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nothing, namespace: pushed}\n")
	repository.Push(t, "no route any more")
	k.Applied(t, "policies", publisher.Git(t, "policies", repository))
	if out := c.Kubectl(t, "get", "meshroutes", "-n", "pushed", "-o", "name"); out != "" {
		t.Errorf("not pruned: %s", out)
	}
	if len(k.Events()) == 0 {
		t.Error("there were no notifications")
	}
}

// TestKinds: kustomize-controller takes what the publisher says of each kind of source, and refuses
// an archive that is not what its digest says.
func TestKinds(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts kustomize-controller")
	}
	c := kubetest.Start(t)
	flux.InstallCRDs(t, c)
	c.Namespace(t, "kinds", nil)
	publisher, k := flux.NewPublisher(t, c), flux.StartKustomize(t, c)
	publish := map[string]func(name, dir, revision string){
		"ExternalArtifact": func(name, dir, revision string) { publisher.External(t, name, dir, revision) },
		"OCIRepository": func(name, dir, revision string) {
			publisher.OCI(t, name, "oci://registry.example/policies", dir, revision)
		},
	}
	for kind, publish := range publish {
		name, dir := strings.ToLower(kind), t.TempDir()
		text := strings.NewReplacer("name: catalog", "name: "+name, "namespace: pushed", "namespace: kinds").Replace(good)
		if err := os.WriteFile(filepath.Join(dir, "route.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		const revision = "latest@sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
		publish(name, dir, revision)
		k.Kustomization(t, name, kind, name, "./")
		k.Applied(t, name, revision)
		c.Kubectl(t, "get", "meshroute", "-n", "kinds", name)

		publish(name, t.TempDir(), strings.Replace(revision, "6b86", "0000", 1))
		publisher.Spoil()
		kubetest.Until(t, func(ctx context.Context) error {
			s, err := k.State(ctx, name)
			if err == nil && (s.Ready.Reason != "ArtifactFailed" || s.Applied != revision) {
				err = fmt.Errorf("a spoiled archive is taken for what it is not: %+v", s)
			}
			return err
		})
	}
}
