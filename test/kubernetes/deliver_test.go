package kubernetes

import (
	"maps"
	"slices"
	"testing"
)

// TestDelivery has the roles that sign and deliver, and Releases that the test makes.
func TestDelivery(t *testing.T) {
	w := install(t, "ca", "sign", "deliver")
	w.applyShop()
	w.roles["ca"].Ready(t)
	first := w.published(w.policies(nil))
	w.runMesh()
	for _, s := range w.sidecars() {
		s.Runs(t, first)
	}
	t.Run("what a Release says is what traffic does", func(t *testing.T) { w.in(t).traffic() })
	t.Run("pods come and go", func(t *testing.T) { w.in(t).endpointsChurn() })
	t.Run("an endpoint is used soon", func(t *testing.T) { w.in(t).endpointLatency() })
	t.Run("people and pipelines see what is live where", func(t *testing.T) { w.in(t).fleet() })
	t.Run("replicas of deliver end", func(t *testing.T) { w.in(t).replicas() })
	t.Run("the API server dies and comes back", func(t *testing.T) { w.in(t).apiServerRestarts() })
	t.Run("the signer is killed while it has a Release to sign", func(t *testing.T) { w.in(t).signerRestarts() })
	t.Run("agents start from the last good release", func(t *testing.T) { w.in(t).controlPlaneDown() })
}

func (w *world) traffic() {
	if got := w.serves("at first"); !slices.Equal(slices.Collect(maps.Keys(got)), []string{"v1"}) {
		w.t.Errorf("answers come from %v", got)
	}
	w.underLoad(func() {
		w.customer.Runs(w.t, w.published(w.policies(map[string]string{"route.yaml": route(50)})))
	})
	if got := w.serves("after a change"); got["v1"] == 0 || got["v2"] == 0 {
		w.t.Errorf("answers come from %v", got)
	}
}

// apiServerRestarts: what is served goes on without the API server, and news come with it.
func (w *world) apiServerRestarts() {
	w.underLoad(func() {
		w.cluster.KillAPIServer(w.t)
		w.serves("without an API server")
		w.cluster.StartAPIServer(w.t)
		w.customer.Runs(w.t, w.published(w.policies(map[string]string{"route.yaml": route(40)})))
	})
}

// signerRestarts: numbers go on, and none is given twice.
func (w *world) signerRestarts() {
	sign, killed := w.roles["sign"], make(chan struct{})
	go func() {
		defer close(killed)
		sign.Kill()
	}()
	name := w.release(w.policies(map[string]string{"route.yaml": route(30)}))
	<-killed
	w.must(sign.Start())
	w.customer.Runs(w.t, w.signed(name))
	seen := map[int64]string{}
	for _, r := range w.releases() {
		if other, ok := seen[r.Status.Sequence]; ok && r.Status.Sequence != 0 {
			w.t.Errorf("%s and %s have number %d", r.Name, other, r.Status.Sequence)
		}
		seen[r.Status.Sequence] = r.Name
	}
}

// controlPlaneDown: nothing of the control plane runs; agents die and come back.
func (w *world) controlPlaneDown() {
	w.roles["sign"].Stop() // killed, it would hold its lease for a while
	w.roles["deliver"].Kill()
	w.roles["ca"].Kill()
	state, err := w.customer.Status()
	w.must(err)
	w.underLoad(func() {
		for _, s := range w.sidecars() {
			s.Agent.Kill()
			s.StartAgent(w.t)
			s.Ready(w.t)
			s.Runs(w.t, int64(state.Sequence))
		}
		w.serves("with agents that started alone")
	})
	for _, role := range w.roles {
		w.must(role.Start())
	}
	w.customer.Runs(w.t, w.published(w.policies(map[string]string{"route.yaml": route(20)})))
}
