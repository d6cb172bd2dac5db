package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/flux"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/node"
)

// TestReconcile has the roles that write Releases on a gate, where they are killed between two steps.
func TestReconcile(t *testing.T) {
	p := &gatedPlay{play: &play{world: install(t, "ca", "sign", "deliver", "reconcile")}}
	p.start()
	t.Run("a role is killed between two steps", func(t *testing.T) { p.in(t).killedBetween() })
	t.Run("a rollout that fails goes back", func(t *testing.T) { p.in(t).goesBack() })
	t.Run("CUE in git is applied by Flux", func(t *testing.T) { p.in(t).evaluated() })
}

type gatedPlay struct {
	*play
	gate *kubetest.Gate
}

func (p *gatedPlay) in(t *testing.T) *gatedPlay { return &gatedPlay{p.play.in(t), p.gate} }

func (p *gatedPlay) start() {
	flux.InstallCRDs(p.t, p.cluster)
	p.applyShop()
	p.roles["ca"].Ready(p.t)
	p.gate = kubetest.NewGate(p.t, p.cluster)
	for _, role := range []string{"sign", "reconcile"} {
		p.roles[role].Reach(p.t, p.gate)
	}
	p.repository = flux.NewRepository(p.t, filepath.Join("testdata", "shop"))
	p.publisher = flux.NewPublisher(p.t, p.cluster)
	revision := p.publisher.Git(p.t, "policies", p.repository)
	p.cluster.Apply(p.t, syncManifest)
	p.patchSync(`{"spec":{"historyLimit":100}}`) // they are counted
	p.synced(revision)
	p.runMesh()
}

// killedBetween: wherever a role dies between a commit and its release, the commit becomes one
// Release with one number, and agents serve on.
func (p *gatedPlay) killedBetween() {
	const group = "/apis/mesh-compile.dev/v1alpha1/namespaces/" + system
	status := func(path, owner string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, group+path) && strings.HasSuffix(r.URL.Path, "/status") &&
				(owner == "" || r.URL.Query().Get("fieldManager") == owner)
		}
	}
	points := []struct {
		role, step string
		match      func(*http.Request) bool
	}{
		{"reconcile", "make the Release", func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path == group+"/releases" }},
		{"reconcile", "report on the PolicySync", status("/policysyncs/mesh", "")},
		{"reconcile", "report on the Release", status("/releases/", "mesh-reconcile")},
		{"sign", "take a number", func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/leases/mesh-sign-sequence")
		}},
		{"sign", "sign", status("/releases/", "mesh-sign")},
	}
	percent := 10
	for _, point := range points {
		for _, moment := range []kubetest.Moment{kubetest.Before, kubetest.After} {
			percent++
			p.killedAt(p.roles[point.role], point.role, fmt.Sprintf("%s it could %s", moment, point.step), percent, func() (<-chan struct{}, func()) {
				return p.gate.Hold(moment, point.match)
			})
		}
	}
}

func (p *gatedPlay) killedAt(role *node.Pod, name, when string, percent int, hold func() (<-chan struct{}, func())) {
	p.t.Helper()
	before := p.releases()
	p.underLoad(func() {
		held, release := hold()
		defer release()
		p.repository.Write(p.t, "route.yaml", route(percent))
		revision := p.push("more to v2")
		select {
		case <-held:
		case <-p.t.Context().Done():
		}
		role.Kill()
		release()
		p.serves("with a role that was killed " + when)
		// A replica that ended politely gives its lease back; this one is waited for 15 s.
		p.cluster.Kubectl(p.t, "-n", system, "delete", "lease", "mesh-"+name)
		p.must(role.Start())
		p.customer.Runs(p.t, p.synced(revision))
	})
	after := p.releases()
	if len(after) != len(before)+1 {
		p.t.Errorf("killed %s: there were %d Releases, there are %d", when, len(before), len(after))
	}
	highest := int64(0)
	for _, r := range before {
		highest = max(highest, r.Status.Sequence)
	}
	seen := map[int64]string{}
	for _, r := range after {
		if seen[r.Status.Sequence] != "" {
			p.t.Errorf("killed %s: %s and %s have number %d", when, seen[r.Status.Sequence], r.Name, r.Status.Sequence)
		}
		seen[r.Status.Sequence] = r.Name
	}
	if s, err := p.sync(p.t.Context()); err != nil || s.Status.Sequence <= highest {
		p.t.Errorf("killed %s: release %d is live after %d: %v", when, s.Status.Sequence, highest, err)
	}
}

// goesBack: an agent that hangs does not take the release of its wave, and everybody goes back.
func (p *gatedPlay) goesBack() {
	p.repository.Write(p.t, "route.yaml", route(0))
	good := p.push("all to v1")
	p.synced(good)
	p.patchSync(`{"spec":{"rollout":{"onFailure":"return","deadline":"5s","waves":[{"workloads":["shop/customer"]}]}}}`)
	releases := len(p.releases())
	agent := p.customer.Agent.Pid()
	p.must(syscall.Kill(agent, syscall.SIGSTOP))
	p.repository.Write(p.t, "route.yaml", route(100))
	bad := p.push("all to v2")
	var back v1alpha1.PolicySyncStatus
	p.until(func(ctx context.Context) error {
		s, err := p.sync(ctx)
		ready := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		if err == nil && (s.Status.LastAttemptedRevision != bad || s.Status.LastAppliedRevision != good || ready == nil || ready.Reason != v1alpha1.ReasonReturned) {
			err = fmt.Errorf("it does not go back: %+v", s.Status)
		}
		back = s.Status
		return err
	})
	p.must(syscall.Kill(agent, syscall.SIGCONT))
	for _, s := range p.sidecars() {
		s.Runs(p.t, back.Sequence)
	}
	if got := p.serves("after it went back"); got["v2"] != 0 {
		p.t.Errorf("answers come from %v", got)
	}
	p.cluster.Kubectl(p.t, "-n", system, "annotate", "policysync", "mesh", "reconcile.fluxcd.io/requestedAt=again")
	p.customer.Runs(p.t, p.synced(bad))
	if got := p.serves("when it was asked for again"); got["v1"] != 0 {
		p.t.Errorf("answers come from %v", got)
	}
	if n := len(p.releases()); n != releases+3 { // what failed, what went back, what was asked for
		p.t.Errorf("there were %d Releases, there are %d", releases, n)
	}
	p.patchSync(`{"spec":{"rollout":null}}`)
}

func (p *gatedPlay) patchSync(patch string) {
	p.t.Helper()
	p.cluster.Kubectl(p.t, "-n", system, "patch", "policysync", "mesh", "--type=merge", "-p", patch)
}

const routeCUE = `package shop

import mc "mesh-compile.dev/v1alpha1"

_canary: %d

catalog: mc.#MeshRoute & {
	metadata: {name: "catalog", namespace: "shop"}
	spec: {
		service: "catalog"
		rules: [{name: "catalog", to: [{version: "v1", weight: 100 - _canary}, {version: "v2", weight: _canary}]}]
	}
}
`

// evaluated: what git has in CUE the API server has as objects, by the real kustomize-controller.
func (p *gatedPlay) evaluated() {
	p.kustomize = flux.StartKustomize(p.t, p.cluster)
	p.node.Serve(p.t, system, "mesh-reconcile")
	p.repository.Write(p.t, "route.yaml", "")
	p.repository.Write(p.t, "route.cue", fmt.Sprintf(routeCUE, 33))
	revision := p.push("a route in CUE")
	p.patchSync(`{"spec":{"artifact":{"name":"evaluated"}}}`)
	p.synced(revision)
	p.kustomize.KustomizationIn(p.t, "evaluated", "ExternalArtifact", system, "evaluated", "./")
	p.applied(revision, "33")
	owner := p.cluster.Kubectl(p.t, "-n", system, "get", "externalartifact", "evaluated", "-o", "jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}")
	if owner != "PolicySync/mesh" {
		p.t.Errorf("it belongs to %s", owner)
	}
	before := p.artifact()

	p.repository.Write(p.t, "route.cue", fmt.Sprintf(routeCUE, 133))
	p.refused(p.push("a weight below nothing"))
	if got := p.artifact(); got != before {
		p.t.Errorf("what does not compile is published: %s after %s", got, before)
	}
	p.roles["reconcile"].Stop() // a process that begins while nothing compiles has no archive
	p.must(p.roles["reconcile"].Start())
	p.until(func(context.Context) error {
		if got := p.artifact(); got != "" {
			return fmt.Errorf("the status names %s, which nobody serves", got)
		}
		return nil
	})
	p.repository.Write(p.t, "route.cue", fmt.Sprintf(routeCUE, 44))
	revision = p.push("less than all")
	p.synced(revision)
	p.applied(revision, "44")

	digest := p.artifact()
	p.roles["reconcile"].Stop()
	p.must(p.roles["reconcile"].Start())
	p.roles["reconcile"].Ready(p.t)
	p.until(func(ctx context.Context) error { return p.served(ctx) })
	if got := p.artifact(); got != digest {
		p.t.Errorf("the same policies give %s and %s", digest, got)
	}
	p.patchSync(`{"spec":{"artifact":null}}`)
	p.until(func(context.Context) error {
		out, err := p.cluster.TryKubectl(p.t, "", "-n", system, "get", "externalartifacts", "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("there still are %s", out)
		}
		return err
	})
}

// applied waits until kustomize-controller has applied a revision, with a weight for v2.
func (p *gatedPlay) applied(revision, weight string) {
	p.t.Helper()
	p.kustomize.Applied(p.t, "evaluated", revision)
	if got := p.cluster.Kubectl(p.t, "-n", "shop", "get", "meshroute", "catalog", "-o", "jsonpath={.spec.rules[0].to[1].weight}"); got != weight {
		p.t.Errorf("the weight is %s, want %s", got, weight)
	}
}

// artifact is the digest that the ExternalArtifact's status has.
func (p *gatedPlay) artifact() string {
	p.t.Helper()
	return p.cluster.Kubectl(p.t, "-n", system, "get", "externalartifact", "evaluated", "-o", "jsonpath={.status.artifact.digest}")
}

// served asks for the archive where the status says it is.
func (p *gatedPlay) served(ctx context.Context) error {
	url := p.cluster.Kubectl(p.t, "-n", system, "get", "externalartifact", "evaluated", "-o", "jsonpath={.status.artifact.url}")
	q, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}
