package kubernetes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/flux"
)

// play is the world with Flux: what is pushed is applied to the cluster by kustomize-controller, and
// compiled from git by the reconcile role.
type play struct {
	*world
	repository *flux.Repository
	publisher  *flux.Publisher
	kustomize  *flux.Controller
}

func (p *play) in(t testing.TB) *play {
	out := *p
	out.world = p.world.in(t)
	return &out
}

// TestPlay goes from the installation through commits that are safe and that are not, with parts that
// die.
func TestPlay(t *testing.T) {
	p := &play{world: install(t, "ca", "sign", "deliver", "reconcile", "admit")}
	p.start()
	t.Run("a safe commit moves traffic", func(t *testing.T) { p.in(t).safeCommit() })
	t.Run("an unsafe commit changes nothing and says why", func(t *testing.T) { p.in(t).unsafeCommit() })
	t.Run("kubectl is refused with lint's words", func(t *testing.T) { p.in(t).kubectlRefused() })
	t.Run("one commit goes through in any order", func(t *testing.T) { p.in(t).anyOrder() })
	t.Run("the webhook dies", func(t *testing.T) { p.in(t).webhookDown() })
	t.Run("the reconciler is killed while it publishes", func(t *testing.T) { p.in(t).reconcilerKilled() })
	t.Run("the API server restarts", func(t *testing.T) { p.in(t).apiServerRestarts() })
}

const syncManifest = `apiVersion: mesh-compile.dev/v1alpha1
kind: PolicySync
metadata: {name: mesh, namespace: mesh-system}
spec:
  interval: 10m
  retryInterval: 2s
  sources:
  - name: policies
    sourceRef: {kind: GitRepository, name: policies, namespace: flux-system}
`

// start lets the first commit become a mesh.
func (p *play) start() {
	flux.InstallCRDs(p.t, p.cluster)
	p.cluster.InstallCRDs(p.t, "istio.yaml")
	p.roles["admit"].Ready(p.t)
	p.repository = flux.NewRepository(p.t, filepath.Join("testdata", "shop"))
	p.publisher = flux.NewPublisher(p.t, p.cluster)
	p.kustomize = flux.StartKustomize(p.t, p.cluster)
	revision := p.publisher.Git(p.t, "policies", p.repository)
	p.kustomize.Kustomization(p.t, "shop", "GitRepository", "policies", "./")
	p.cluster.Apply(p.t, syncManifest)
	p.kustomize.Applied(p.t, "shop", revision)
	p.synced(revision)
	p.runMesh()
	p.enforcing()
}

// push pushes what the clone holds, and returns the revision that Flux knows it by.
func (p *play) push(message string) (revision string) {
	p.t.Helper()
	p.repository.Push(p.t, message)
	return p.publisher.Git(p.t, "policies", p.repository)
}

func (p *play) sync(ctx context.Context) (v1alpha1.PolicySync, error) {
	var s v1alpha1.PolicySync
	return s, p.client.Get(ctx, client.ObjectKey{Namespace: system, Name: "mesh"}, &s)
}

// synced waits until a revision is live, and returns its number.
func (p *play) synced(revision string) (sequence int64) {
	p.t.Helper()
	p.until(func(ctx context.Context) error {
		s, err := p.sync(ctx)
		if err == nil && (s.Status.LastAppliedRevision != revision || !apimeta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionReady)) {
			err = fmt.Errorf("%s is not live: %+v", revision, s.Status)
		}
		sequence = s.Status.Sequence
		return err
	})
	return sequence
}

// refused waits until a revision is refused, and returns the status that says so.
func (p *play) refused(revision string) (status v1alpha1.PolicySyncStatus) {
	p.t.Helper()
	p.until(func(ctx context.Context) error {
		s, err := p.sync(ctx)
		ready := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		if err == nil && (s.Status.LastAttemptedRevision != revision || ready == nil || ready.Reason != v1alpha1.ReasonPoliciesRefused) {
			err = fmt.Errorf("%s is not refused: %+v", revision, s.Status)
		}
		status = s.Status
		return err
	})
	return status
}

// enforcing waits until the webhook fails closed.
func (p *play) enforcing() {
	p.t.Helper()
	p.until(func(context.Context) error {
		out, err := p.cluster.TryKubectl(p.t, "", "get", "validatingwebhookconfiguration", "mesh-compile", "-o", "jsonpath={.webhooks[0].failurePolicy}")
		if err == nil && out != "Fail" { // deletions never fail closed
			err = fmt.Errorf("failure policies are %q", out)
		}
		return err
	})
}

func (p *play) safeCommit() {
	if got := p.serves("at first"); got["v2"] != 0 {
		p.t.Errorf("answers come from %v", got)
	}
	p.underLoad(func() {
		p.repository.Write(p.t, "route.yaml", route(50))
		revision := p.push("half of the requests to v2")
		sequence := p.synced(revision)
		for _, s := range p.sidecars() {
			s.Runs(p.t, sequence)
		}
		p.kustomize.Applied(p.t, "shop", revision)
	})
	if got := p.serves("after a commit"); got["v1"] == 0 || got["v2"] == 0 {
		p.t.Errorf("answers come from %v", got)
	}
}

// unsafeCommit: conditions, events and kubectl say file, line and code; so does kustomize-controller.
func (p *play) unsafeCommit() {
	before, releases := p.live(), len(p.releases())
	p.repository.Write(p.t, "customer.yaml", p.unsafe("meshroute.yaml"))
	var revision string
	p.underLoad(func() {
		revision = p.push("a rule that is never reached")
		status := p.refused(revision)
		const position = "customer.yaml:10:11"
		if d := status.Diagnostics; d == nil || len(d.First) == 0 || !strings.Contains(d.First[0], position) {
			p.t.Errorf("status.diagnostics does not say %s: %+v", position, d)
		}
		for _, args := range [][]string{
			{"-n", system, "get", "policysync", "mesh"},
			{"-n", system, "get", "events", "--field-selector", "involvedObject.kind=PolicySync"},
		} {
			p.until(func(context.Context) error {
				out, err := p.cluster.TryKubectl(p.t, "", args...)
				if err == nil && !strings.Contains(out, "customer.yaml:10") {
					err = fmt.Errorf("kubectl %s says\n%s", strings.Join(args, " "), out)
				}
				return err
			})
		}
	})
	if message := p.kustomize.Refused(p.t, "shop", revision); !strings.Contains(message, "routeshadow") {
		p.t.Errorf("kustomize-controller says %q", message)
	}
	if after := p.live(); after != before || len(p.releases()) != releases {
		p.t.Errorf("live was %+v and is %+v; %d releases were there, %d are", before, after, releases, len(p.releases()))
	}
	p.repository.Write(p.t, "customer.yaml", "")
	revision = p.push("without it")
	p.synced(revision)
	p.kustomize.Applied(p.t, "shop", revision)
}

// live is what the status says is live.
func (p *play) live() string {
	p.t.Helper()
	s, err := p.sync(p.t.Context())
	p.must(err)
	return fmt.Sprint(s.Status.LastAppliedRevision, s.Status.LiveRelease, s.Status.Sequence)
}

// unsafe is a manifest that must not become live.
func (w *world) unsafe(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "unsafe", name))
	w.must(err)
	return string(text)
}
