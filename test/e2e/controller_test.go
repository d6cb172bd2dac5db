package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// TestControllerRestarts: the sequence goes on, agents come back by themselves, and no request
// notices.
func TestControllerRestarts(t *testing.T) {
	m := startMesh(t)
	sequence := m.sequence() + 1
	m.shift(20)
	m.live(sequence)
	before := m.pids()
	m.underLoad(func() {
		m.Controller.Kill()
		m.must(m.StartController(t.Context()))
		if got := m.sequence(); got != sequence {
			t.Errorf("after a restart release %d is live, not %d", got, sequence)
		}
		m.live(sequence)
		m.shift(30)
		m.live(sequence + 1)
	})

	// Without its state, but for the keys, it goes on above what agents have.
	m.Controller.Kill()
	m.must(errors.Join(os.Remove(filepath.Join(m.State(), "state.json")), os.RemoveAll(filepath.Join(m.State(), "release"))))
	m.underLoad(func() {
		m.must(m.StartController(t.Context()))
		m.live(sequence + 2)
		m.shift(40)
		m.live(sequence + 3)
	})
	if after := m.pids(); after != before {
		t.Errorf("agents and Envoys are %s, were %s", after, before)
	}
	m.serves("after all")
}

// pids names all sidecars' processes.
func (m *mesh) pids() string {
	var b strings.Builder
	for _, i := range m.Instances() {
		envoy, err := i.EnvoyPid()
		m.must(err)
		fmt.Fprintf(&b, "%s: agent %d, envoy %d; ", i.Workload, i.Agent.Pid(), envoy)
	}
	return b.String()
}

const rejectedSequence = 100

// TestRejectedRelease delivers a release that is signed well and that Envoy does not take: the
// caller's sidecar must keep the last good one, say Envoy's words, and take the next.
func TestRejectedRelease(t *testing.T) {
	m := startMesh(t)
	good := m.sequence()
	// A controller that starts serves what it has stored until the policies compile.
	m.must(m.Write("typo.yaml", "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRout\nmetadata: {name: typo, namespace: shop}\n"))
	m.must(m.Commit(t.Context(), "a typo"))
	m.until(func() error {
		s, err := m.Status()
		if err == nil && s.Refused.Diagnostics == "" {
			err = errors.New("the typo is not refused")
		}
		return err
	})
	m.Controller.Kill()
	m.spoilStored()
	m.underLoad(func() {
		m.must(m.StartController(t.Context()))
		m.until(func() error {
			s, err := m.Status()
			if p := s.Proxy("customer"); err == nil &&
				(p.State != "rejected" || p.Sequence != rejectedSequence || !strings.Contains(p.Error, "Only unique values for domains are permitted")) {
				err = fmt.Errorf("the controller knows of customer: %+v", p)
			}
			return err
		})
		s, err := m.Instance("customer").Status()
		m.must(err)
		if s.Sequence != good || s.HighWaterMark != rejectedSequence || s.State != "rejected" || !s.Ready {
			t.Errorf("customer runs release %d, not %d: %+v", s.Sequence, good, s)
		}
		m.live(rejectedSequence, "catalog-v1", "catalog-v2") // others are not affected
		m.serves("after a rejection")

		m.must(m.Write("typo.yaml", ""))
		m.shift(30)
		m.live(rejectedSequence + 1)
	})
	m.serves("after the next release")
}

// spoilStored gives the stored release's customer two virtual hosts for one domain, and signs it
// with the mesh's key.
func (m *mesh) spoilStored() {
	m.t.Helper()
	dir := filepath.Join(m.State(), "release")
	stored, err := artifact.Read(os.DirFS(dir), artifact.DefaultLimits)
	m.must(err)
	b := artifact.NewBuilder(stored)
	for _, leaf := range stored.Leaves() {
		if leaf.Workload == "shop/customer" {
			leaf.Slice = m.spoil(b, stored.Resources(leaf))
		}
		b.AddLeaf(leaf)
	}
	bundle, _ := stored.Shared(artifact.TrustBundle)
	data, _ := stored.Blob(bundle)
	b.Share(artifact.TrustBundle, data)
	spoilt, err := b.Build()
	m.must(err)

	key, err := sign.LoadPrivateKey(filepath.Join(m.State(), "keys", "release.key"), "")
	m.must(err)
	old := m.signed(stored)
	doc := sign.Describe(spoilt)
	doc.MeshID, doc.Trust.TrustDomain, doc.Sequence = old.MeshID, old.Trust.TrustDomain, rejectedSequence
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(time.Now()), sign.At(time.Now()), sign.At(time.Now().Add(time.Hour))
	envelope, err := sign.SignRelease(doc, key)
	m.must(err)
	m.must(spoilt.WithEnvelope(envelope).Write(dir))
	ledger := fmt.Sprintf(`{"version":1,"epoch":%d,"sequence":%d}`, old.SequenceEpoch, rejectedSequence)
	m.must(os.WriteFile(filepath.Join(m.State(), "state.json"), []byte(ledger), 0o600))
}

// signed returns the document of a release.
func (m *mesh) signed(r *artifact.Release) *sign.ReleaseDoc {
	m.t.Helper()
	text, err := os.ReadFile(m.RootFile())
	m.must(err)
	root, err := sign.OpenRoot(text)
	m.must(err)
	doc, _, err := root.OpenRelease(r.Envelope())
	m.must(err)
	return doc
}

// spoil returns a slice with the resources, of which route configurations have their first virtual
// host twice.
func (m *mesh) spoil(b *artifact.Builder, resources []artifact.Resource) artifact.Digest {
	m.t.Helper()
	found := false
	for n, r := range resources {
		if !strings.HasSuffix(r.Type, ".RouteConfiguration") {
			continue
		}
		var routes routev3.RouteConfiguration
		m.must(proto.Unmarshal(r.Bytes, &routes))
		again := proto.CloneOf(routes.VirtualHosts[0])
		again.Name += "-again"
		routes.VirtualHosts = append(routes.VirtualHosts, again)
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&routes)
		m.must(err)
		resources[n], found = artifact.NewResource(r.Type, r.Name, data), true
	}
	if !found {
		m.t.Fatal("the slice has no route configuration")
	}
	list, err := artifact.NewList(resources)
	m.must(err)
	return b.AddSlice(list)
}
