package kubernetes

import (
	"maps"
	"slices"
	"testing"
)

// TestDelivery: with the roles that sign and deliver, what a Release says is what traffic does.
func TestDelivery(t *testing.T) {
	w := install(t, "ca", "sign", "deliver")
	w.applyShop()
	w.roles["ca"].Ready(t)
	first := w.published("mesh-1", w.policies(nil))
	w.runMesh()
	for _, s := range w.sidecars() {
		s.Runs(t, first)
	}
	if got := w.serves("at first"); !slices.Equal(slices.Collect(maps.Keys(got)), []string{"v1"}) {
		t.Errorf("answers come from %v", got)
	}
	w.underLoad(func() {
		second := w.published("mesh-2", w.policies(map[string]string{"route.yaml": route(50)}))
		w.customer.Runs(t, second)
	})
	if got := w.serves("after a change"); got["v1"] == 0 || got["v2"] == 0 {
		t.Errorf("answers come from %v", got)
	}
}
