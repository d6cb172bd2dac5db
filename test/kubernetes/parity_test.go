package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/flux"
	"github.com/mesh-compile/mesh-compile/test/parity"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// TestParity asks the webhook and the reconciler about every fixture that is one object over a mesh:
// both say the codes of lint. The webhook refuses what no later object cures; the reconciler refuses
// every error. It gets the fixtures by every kind of Flux's sources in turn.
func TestParity(t *testing.T) {
	w := install(t, "reconcile", "admit")
	flux.InstallCRDs(t, w.cluster)
	w.cluster.InstallCRDs(t, "istio.yaml")
	w.roles["admit"].Ready(t)
	// The API server asks the floor first, which knows fewer rules than the webhook.
	w.cluster.Kubectl(t, "delete", "validatingadmissionpolicybindings", "--all")
	t.Run("kinds without a translator", func(t *testing.T) { w.in(t).untranslatedRefused() })
	p := &parityWorld{world: w, publisher: flux.NewPublisher(t, w.cluster), laid: map[string]string{}}
	root, err := tools.ModuleRoot()
	w.must(err)
	cases, err := parity.Cases(root)
	w.must(err)
	asked := 0
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			p := p.in(t)
			p.reconciled(c, sourceKinds[i%len(sourceKinds)])
			if p.reviewed(c) {
				asked++
			}
		})
	}
	if asked < 15 {
		t.Errorf("the webhook was asked about %d of %d objects: the API server's schemas refuse the others", asked, len(cases))
	}
}

type parityWorld struct {
	*world
	publisher *flux.Publisher
	laid      map[string]string // the manifests of the mesh that is in the cluster, by object
}

func (p *parityWorld) in(t *testing.T) *parityWorld {
	out := *p
	out.world = p.world.in(t)
	return &out
}

var sourceKinds = []string{"GitRepository", "OCIRepository", "Bucket", "ExternalArtifact"}

// paritySync has the kind of the source.
const paritySync = `apiVersion: mesh-compile.dev/v1alpha1
kind: PolicySync
metadata: {name: mesh, namespace: mesh-system}
spec:
  interval: 10m
  retryInterval: 1s
  sources:
  - name: policies
    sourceRef: {kind: %s, name: policies, namespace: flux-system}
`

// publish is what source-controller does.
func (p *parityWorld) publish(kind, dir, revision string) {
	p.t.Helper()
	switch kind {
	case "GitRepository":
		p.publisher.PublishGit(p.t, "policies", &flux.Repository{URL: "https://git.example/policies"}, dir, revision)
	case "OCIRepository":
		p.publisher.OCI(p.t, "policies", "oci://registry.example/policies", dir, revision)
	case "Bucket":
		p.publisher.Bucket(p.t, "policies", dir, revision)
	default:
		p.publisher.External(p.t, "policies", dir, revision)
	}
}

// reconciled publishes the case, and compares what the status says.
func (p *parityWorld) reconciled(c parity.Case, kind string) {
	p.t.Helper()
	dir := filepath.Join(p.t.TempDir(), "policies")
	p.must(os.Mkdir(dir, 0o755))
	for name, text := range c.Files() {
		p.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	p.publish(kind, dir, c.Name)
	p.cluster.Apply(p.t, fmt.Sprintf(paritySync, kind))
	var s v1alpha1.PolicySync
	p.until(func(ctx context.Context) error {
		err := p.client.Get(ctx, client.ObjectKey{Namespace: system, Name: "mesh"}, &s)
		if err == nil && (s.Status.LastAttemptedRevision != c.Name || s.Status.Diagnostics == nil) {
			err = fmt.Errorf("%s is not compiled: %+v", c.Name, s.Status)
		}
		return err
	})
	var errs, warnings diag.List
	for _, d := range c.Found {
		switch {
		case d.Severity >= diag.Error:
			errs = append(errs, d)
		case d.Severity == diag.Warning:
			warnings = append(warnings, d)
		}
	}
	d := s.Status.Diagnostics
	if int(d.Errors) != len(errs) || int(d.Warnings) != len(warnings) {
		p.t.Errorf("the reconciler counts %d errors and %d warnings, lint %d and %d: %q", d.Errors, d.Warnings, len(errs), len(warnings), d.First)
	}
	if diff := cmp.Diff(parity.Codes(errs), codesIn(strings.Join(d.First, "\n"))); diff != "" && len(d.First) == len(errs) {
		p.t.Errorf("codes (-lint +reconciler):\n%s", diff)
	}
}

// reviewed applies the mesh and tries the object, and reports whether the webhook was asked: an object
// whose shape the API server itself refuses never comes to it.
func (p *parityWorld) reviewed(c parity.Case) (asked bool) {
	p.t.Helper()
	p.lay(c)
	p.until(func(context.Context) error {
		out, err := p.cluster.TryApply(p.t, c.Object.Text, "--dry-run=server")
		if strings.Contains(out, "is invalid: ") || strings.Contains(out, "strict decoding error") || strings.Contains(out, "failed to create typed patch") {
			return nil
		}
		asked = true
		have := codesIn(out)
		if diff := cmp.Diff(bare(parity.Codes(c.Found)), have); diff != "" {
			return fmt.Errorf("codes (-lint +webhook):\n%s\n%s", diff, out)
		}
		if refused := err != nil; refused != c.Refused() {
			return errors.Join(fmt.Errorf("refused %t, curable %t", refused, curable(c)), err)
		}
		return nil
	})
	return asked
}

func curable(c parity.Case) bool {
	return !slices.ContainsFunc(c.Found, func(d diag.Diagnostic) bool { return !compiler.Curable(d.Code) })
}

// bare is codes without the marks of warnings, which kubectl shows in another way.
func bare(codes []string) []string {
	out := []string{}
	for _, code := range codes {
		out = append(out, strings.TrimSuffix(code, "?"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var codeAtEnd = regexp.MustCompile(`(?m) \[([a-z0-9-]+)\]\r?$`)

// codesIn are the codes that a text says, sorted.
func codesIn(text string) []string {
	found := map[string]bool{}
	for _, m := range codeAtEnd.FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	out := []string{}
	return append(out, slices.Sorted(maps.Keys(found))...)
}

// namespaces are those that the case names.
func namespaces(c parity.Case) []string {
	names := map[string]bool{}
	for _, d := range append(slices.Clone(c.Mesh), c.Object) {
		if d.Object.GetKind() != "Namespace" && d.Object.GetNamespace() != "" {
			names[d.Object.GetNamespace()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// lay makes the cluster hold the mesh of the case; many have the same.
func (p *parityWorld) lay(c parity.Case) {
	p.t.Helper()
	for _, name := range namespaces(c) {
		p.cluster.Apply(p.t, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", name))
	}
	wanted := map[string]string{}
	for _, d := range c.Mesh {
		wanted[d.ID()] = d.Text
	}
	var gone, missing strings.Builder
	for id, text := range p.laid {
		if wanted[id] != text && !strings.HasPrefix(id, "Namespace ") {
			gone.WriteString("---\n" + text)
			delete(p.laid, id)
		}
	}
	if out, err := p.cluster.TryKubectl(p.t, gone.String(), "delete", "--ignore-not-found", "-f", "-"); err != nil && gone.Len() > 0 {
		p.t.Fatalf("clearing: %v\n%s", err, out)
	}
	for _, d := range c.Mesh { // in the order that somebody wrote
		if p.laid[d.ID()] == "" {
			missing.WriteString("---\n" + d.Text)
			p.laid[d.ID()] = d.Text
		}
	}
	if missing.Len() > 0 {
		p.cluster.Apply(p.t, missing.String())
	}
}
