package e2e

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/test/localmesh"
)

// TestHostileController takes the controller's place and offers releases that would open access to
// everything, each false in another way. Every agent must refuse each by its code, and traffic must
// obey the last good one, also after a sidecar was killed meanwhile.
func TestHostileController(t *testing.T) {
	m := startMesh(t)
	mark := m.sequence() + 1
	m.shift(20) // so that there is an older release
	m.live(mark)
	i := m.takeOver()
	m.must(m.Edit("mesh.yaml", "to: {methods: [GET]}", "to: {anything: true}"))
	m.must(m.Write("route.yaml", fmt.Sprintf(routes, 100))) // every slice differs
	open := i.compile()
	stranger, err := sign.GenerateKey(sign.Ed25519, "")
	m.must(err)

	blob := func(lie func(*deliveryv1.Blob) error) lies { return lies{blob: lie} }
	update := func(lie func(string, *deliveryv1.Update)) lies { return lies{update: lie} }
	sent := map[string]int{}
	for _, f := range []struct {
		name, code string
		sequence   uint64
		key        *sign.Signer
		lies       lies
	}{
		{"an older sequence", "release-rollback", mark - 1, i.key, lies{}},
		{"the same sequence with other content", "release-equivocates", mark, i.key, lies{}},
		{"another key", "release-signature", mark + 1, stranger, lies{}},
		{"a flipped byte of the envelope", "", mark + 1, i.key, update(func(_ string, u *deliveryv1.Update) { flip(u.Envelope) })},
		{"a flipped byte of the leaf", "release-proof", mark + 1, i.key, update(func(_ string, u *deliveryv1.Update) { flip(u.Leaf) })},
		{"the leaf of another workload", "release-wrong-leaf", mark + 1, i.key, update(func(workload string, u *deliveryv1.Update) {
			m.swapLeaf(open, workload, u)
		})},
		{"a flipped byte of each blob", "release-digest", mark + 1, i.key, blob(func(b *deliveryv1.Blob) error { flip(b.Content); return nil })},
		{"truncated blobs", "release-digest", mark + 1, i.key, blob(func(b *deliveryv1.Blob) error { b.Content = b.Content[:len(b.Content)/2]; return nil })},
		{"a stream of blobs that ends", "release-blob-missing", mark + 1, i.key, blob(func(*deliveryv1.Blob) error { return errEnd })},
		{"a stream of blobs that breaks", "agent-fetch", mark + 1, i.key, blob(func(*deliveryv1.Blob) error {
			return status.Error(codes.Internal, "broken")
		})},
	} {
		before := m.refusals()
		i.publish(open, f.sequence, f.key, f.lies)
		m.refused(f.name, f.code, mark, before)
		m.serves(f.name)
		sent[f.code]++
	}
	m.counted(sent)
	m.killedAmongLies(mark)

	// Without lies it is a good release, which opens what the false ones would have opened.
	i.publish(open, mark+1, i.key, lies{})
	m.each(func(i *localmesh.Instance) error {
		return is(i, func(s localmesh.AgentState) bool { return s.Sequence == mark+1 })
	})
	m.until(func() error { // Envoy drains the connections that were made under the old rules
		r, err := m.Instance("customer").Call(change)
		if err == nil && r.Status[200] == 0 {
			err = fmt.Errorf("after a good release: %v", r.Failures)
		}
		return err
	})
}

func flip(data []byte) { data[len(data)/2] ^= 1 }

// swapLeaf gives a workload the leaf and proof of the next.
func (m *mesh) swapLeaf(r *artifact.Release, workload string, u *deliveryv1.Update) {
	leaves := r.Leaves()
	for n, leaf := range leaves {
		if leaf.Workload != workload {
			continue
		}
		other, err := r.Prove(leaves[(n+1)%len(leaves)].Key())
		if err != nil {
			panic(err) // the key is the release's own
		}
		u.Leaf, u.Index, u.Proof = other.Leaf.Encode(), uint64(other.Index), nil
		for _, d := range other.Proof {
			u.Proof = append(u.Proof, d[:])
		}
		return
	}
}

// refusals counts those of every agent.
func (m *mesh) refusals() map[string]uint64 {
	m.t.Helper()
	out := map[string]uint64{}
	for _, i := range m.Instances() {
		s, err := i.Status()
		m.must(err)
		out[i.Workload] = total(s)
	}
	return out
}

func total(s localmesh.AgentState) (n uint64) {
	for _, count := range s.Refusals {
		n += count
	}
	return n
}

// refused waits until every agent has refused once more than before; code "" is any.
func (m *mesh) refused(name, code string, mark uint64, before map[string]uint64) {
	m.t.Helper()
	m.each(func(i *localmesh.Instance) error {
		return is(i, func(s localmesh.AgentState) bool { return total(s) > before[i.Workload] })
	})
	for _, i := range m.Instances() {
		s, err := i.Status()
		m.must(err)
		if s.State != "refused" || s.Code != code && code != "" || s.Sequence != mark || s.HighWaterMark != mark || !s.Ready {
			m.t.Errorf("%s: %s says %+v, want a refusal by %q with release %d in force", name, i.Workload, s, code, mark)
		}
	}
}

// each waits until check holds for every instance.
func (m *mesh) each(check func(*localmesh.Instance) error) {
	m.t.Helper()
	for _, i := range m.Instances() {
		m.until(func() error { return check(i) })
	}
}

func is(i *localmesh.Instance, good func(localmesh.AgentState) bool) error {
	s, err := i.Status()
	if err == nil && !good(s) {
		err = fmt.Errorf("%s says %+v", i.Workload, s)
	}
	return err
}

// counted finds the refusals in every agent's metrics.
func (m *mesh) counted(sent map[string]int) {
	m.t.Helper()
	for _, i := range m.Instances() {
		page, err := localmesh.Page(i.AgentURL() + "/metrics")
		m.must(err)
		for code := range sent {
			if line := fmt.Sprintf("mesh_agent_updates_refused_total{code=%q} ", code); code != "" && !strings.Contains(page, line) {
				m.t.Errorf("%s: no metric %s", i.Workload, line)
			}
		}
	}
}

// killedAmongLies kills the callee's sidecar while the impostor goes on with its last lie.
func (m *mesh) killedAmongLies(mark uint64) {
	m.t.Helper()
	i := m.Instance("catalog-v1")
	i.Agent.Kill()
	m.must(i.KillEnvoy(m.t.Context()))
	m.must(i.StartAgent())
	m.must(i.Ready(m.t.Context()))
	m.until(func() error {
		return is(i, func(s localmesh.AgentState) bool {
			return total(s) > 0 && s.Sequence == mark && s.HighWaterMark == mark
		})
	})
	m.settled()
	m.serves("with a sidecar that has met the impostor alone")
}
