package kubernetes

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/store"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/flux"
)

// signedPlay is a mesh whose releases a pipeline signs: the test is the pipeline.
type signedPlay struct {
	*play
	registry string // oci://host/repository
}

func (p *signedPlay) in(t *testing.T) *signedPlay { return &signedPlay{p.play.in(t), p.registry} }

// TestSigned has no role that could sign.
func TestSigned(t *testing.T) {
	p := &signedPlay{play: &play{world: install(t, "ca", "deliver", "reconcile")}}
	p.start()
	t.Run("a signed release moves traffic", func(t *testing.T) { p.in(t).next() })
	t.Run("what agents would refuse changes nothing", func(t *testing.T) { p.in(t).refusedReleases() })
	t.Run("waves", func(t *testing.T) { p.in(t).waves() })
	t.Run("Flux brings a release", func(t *testing.T) { p.in(t).fromFlux() })
}

const signedManifest = `apiVersion: mesh-compile.dev/v1alpha1
kind: PolicySync
metadata: {name: mesh, namespace: mesh-system}
spec:
  interval: 1s
  release:
    %s
`

func (p *signedPlay) start() {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	p.t.Cleanup(server.Close)
	p.registry = "oci://" + strings.TrimPrefix(server.URL, "http://") + "/shop/release"
	flux.InstallCRDs(p.t, p.cluster)
	p.publisher = flux.NewPublisher(p.t, p.cluster)
	p.applyShop()
	p.roles["ca"].Ready(p.t)
	revision := p.pushed(p.built(10, 0))
	p.cluster.Apply(p.t, fmt.Sprintf(signedManifest, fmt.Sprintf("oci: {url: %q, tag: live}", p.registry)))
	if got := p.synced(revision); got != 10 {
		p.t.Errorf("release %d is live", got)
	}
	p.runMesh()
}

// built is the directory of a release that the pipeline made, with so many percent for v2.
func (p *signedPlay) built(sequence, percent int) (dir string) {
	p.t.Helper()
	dir = filepath.Join(p.t.TempDir(), "release")
	p.meshCompile("build", p.policies(map[string]string{"route.yaml": route(percent)}), "-o", dir, "--trust-bundle", filepath.Join(p.keys, "ca.crt"),
		"--key", filepath.Join(p.keys, "release.key"), "--root", p.root(), "--sequence", fmt.Sprint(sequence))
	return dir
}

// pushed puts a release into the registry as the pipeline does, and returns the revision.
func (p *signedPlay) pushed(dir string) (revision string) {
	p.t.Helper()
	out := p.meshCompile("push", dir, p.registry+":live", "--root", p.root())
	digest, _, _ := strings.Cut(out, " ")
	return "live@" + digest
}

// next: the number is the pipeline's, and what people and pipelines ask knows it.
func (p *signedPlay) next() {
	p.serves("at first")
	p.underLoad(func() {
		if got := p.synced(p.pushed(p.built(20, 50))); got != 20 {
			p.t.Errorf("release %d is live", got)
		}
		p.customer.Runs(p.t, 20)
	})
	if got := p.serves("after a release"); got["v1"] == 0 || got["v2"] == 0 {
		p.t.Errorf("answers come from %v", got)
	}
	p.meshCompile("wait", "--kubeconfig", p.cluster.Kubeconfig(), "-n", system, "--release", "20", "--timeout", "1m", "--workload", "shop/customer")
	s, err := p.sync(p.t.Context())
	p.must(err)
	if !apimeta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSourceVerified) {
		p.t.Errorf("the source is not verified: %+v", s.Status)
	}
	if table := p.cluster.Kubectl(p.t, "-n", system, "get", "mcrelease"); !strings.Contains(table, "20") {
		p.t.Errorf("kubectl shows\n%s", table)
	}
}

// refusedReleases: whoever can write to the registry cannot change what is live.
func (p *signedPlay) refusedReleases() {
	before, releases := p.live(), len(p.releases())
	evil, good := p.read(p.built(30, 100)), p.read(p.built(30, 0))
	for name, r := range map[string]*artifact.Release{
		"unsigned":                 evil.WithEnvelope(nil),
		"with another's signature": evil.WithEnvelope(good.Envelope()),
		"with a changed signature": evil.WithEnvelope([]byte(strings.Replace(string(evil.Envelope()), `"sig":"`, `"sig":"AAAA`, 1))),
		"older":                    p.read(p.built(11, 100)),
		"the same number":          p.read(p.built(20, 100)),
	} {
		digest, err := store.Push(p.t.Context(), p.registry+":live", r, nil)
		p.must(err)
		p.underLoad(func() { p.failed("live@" + digest) })
		if after := p.live(); after != before || len(p.releases()) != releases {
			p.t.Errorf("%s: live was %s and is %s; %d Releases were there, %d are", name, before, after, releases, len(p.releases()))
		}
	}
	if got := p.serves("after what was refused"); got["v1"] == 0 || got["v2"] == 0 {
		p.t.Errorf("answers come from %v", got)
	}
	p.until(func(context.Context) error {
		out, err := p.cluster.TryKubectl(p.t, "", "-n", system, "get", "events", "--field-selector", "involvedObject.kind=PolicySync,reason="+v1alpha1.ReasonVerificationFailed)
		if err == nil && !strings.Contains(out, "verifying release") {
			err = fmt.Errorf("events are\n%s", out)
		}
		return err
	})
}

// failed waits until a revision is refused for its signature.
func (p *signedPlay) failed(revision string) {
	p.t.Helper()
	p.until(func(ctx context.Context) error {
		s, err := p.sync(ctx)
		ready := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		if err == nil && (s.Status.LastAttemptedRevision != revision || ready == nil || ready.Reason != v1alpha1.ReasonVerificationFailed ||
			!apimeta.IsStatusConditionFalse(s.Status.Conditions, v1alpha1.ConditionSourceVerified)) {
			err = fmt.Errorf("%s is not refused: %+v", revision, s.Status)
		}
		return err
	})
}

func (p *signedPlay) read(dir string) *artifact.Release {
	p.t.Helper()
	r, err := artifact.Read(os.DirFS(dir), artifact.DefaultLimits)
	p.must(err)
	return r
}

// waves: a release that came signed spreads as another does.
func (p *signedPlay) waves() {
	p.cluster.Kubectl(p.t, "-n", system, "patch", "policysync", "mesh", "--type=merge", "-p",
		`{"spec":{"rollout":{"onFailure":"return","deadline":"1m","waves":[{"workloads":["shop/catalog-v1"]},{"workloads":["shop/*"],"pause":"1s"}]}}}`)
	p.underLoad(func() {
		p.synced(p.pushed(p.built(40, 25)))
		for _, s := range p.sidecars() {
			s.Runs(p.t, 40)
		}
	})
}

// fromFlux: the artifact of a Flux source is the release's directory.
func (p *signedPlay) fromFlux() {
	const url, name = "oci://registry.example/shop/release", "release"
	revision := func(n int) string { return fmt.Sprintf("live@sha256:%064d", n) }
	p.publisher.OCI(p.t, name, url, p.built(50, 75), revision(50))
	p.cluster.Kubectl(p.t, "-n", system, "patch", "policysync", "mesh", "--type=merge", "-p",
		`{"spec":{"interval":"10m","release":{"oci":null,"sourceRef":{"kind":"OCIRepository","name":"release","namespace":"`+flux.Namespace+`"}}}}`)
	if got := p.synced(revision(50)); got != 50 {
		p.t.Errorf("release %d is live", got)
	}
	p.customer.Runs(p.t, 50)
	p.publisher.OCI(p.t, name, url, p.built(45, 0), revision(45))
	p.failed(revision(45))
	p.publisher.OCI(p.t, name, url, p.policies(nil), revision(1)) // no release at all
	p.until(func(ctx context.Context) error {
		s, err := p.sync(ctx)
		ready := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		if err == nil && (s.Status.LastAttemptedRevision != revision(1) || ready == nil || ready.Reason != v1alpha1.ReasonFetchFailed) {
			err = fmt.Errorf("policies are taken for a release: %+v", s.Status)
		}
		return err
	})
	p.publisher.OCI(p.t, name, url, p.built(60, 50), revision(60))
	if got := p.synced(revision(60)); got != 60 {
		p.t.Errorf("release %d is live", got)
	}
	p.customer.Runs(p.t, 60)
}
