package deliver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// TestFleetKnowsWhoIsThere: a proxy is connected while it watches, by the name that
// it reports by, and is forgotten a while after it has left.
func TestFleetKnowsWhoIsThere(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	catalog := h.client(t, "catalog", time.Minute)
	watch := func() (leave func()) {
		ctx, cancel := context.WithCancel(withDeadline(t))
		t.Cleanup(cancel)
		stream, err := catalog.Watch(ctx, &deliveryv1.WatchRequest{Workload: "shop/catalog-v1", Instance: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		return cancel
	}
	leave := watch()
	applied := time.Now().Add(-time.Minute).UTC()
	report := &deliveryv1.ReportRequest{
		Workload: "shop/catalog-v1", Instance: "a", Sequence: 2, State: deliveryv1.ReportRequest_STATE_REJECTED,
		RunningSequence: 1, AppliedAt: timestamppb.New(applied), Drift: "listener is missing", AgentVersion: "0.1", EnvoyVersion: "1.40.0",
	}
	if _, err := catalog.Report(withDeadline(t), report); err != nil {
		t.Fatal(err)
	}
	p := h.Fleet()[0]
	if !p.Connected || !p.Left.IsZero() || p.Running != 1 || p.Sequence != 2 || !p.Applied.Equal(applied) ||
		p.Drift != report.GetDrift() || p.Agent != "0.1" || p.Envoy != "1.40.0" {
		t.Errorf("while it watches: %+v", p)
	}

	// The next stream opens before the last one ends.
	second := watch()
	leave()
	await(t, h, func(p ProxyState) bool { return h.Watchers() == 1 && p.Connected })
	version := h.FleetVersion()
	second()
	await(t, h, func(p ProxyState) bool { return !p.Connected && !p.Left.IsZero() && h.FleetVersion() != version })
	watch()
	await(t, h, func(p ProxyState) bool { return p.Connected && p.Left.IsZero() })

	h.fleet.mu.Lock()
	h.fleet.forget(time.Now().Add(24 * time.Hour))
	h.fleet.mu.Unlock()
	if n := len(h.Fleet()); n != 1 {
		t.Fatalf("a connected proxy is forgotten: %d are left", n)
	}
	h.fleet.mu.Lock()
	for k, w := range h.fleet.byKey {
		p := w["a"]
		p.Connected, p.Left = false, time.Now()
		h.fleet.byKey[k]["a"] = p
	}
	h.fleet.forget(time.Now().Add(keepGone + time.Second))
	h.fleet.mu.Unlock()
	if n := len(h.Fleet()); n != 0 {
		t.Errorf("%d proxies are remembered after they left", n)
	}
}

func await(t *testing.T, h *harness, check func(ProxyState) bool) {
	t.Helper()
	ctx := withDeadline(t)
	for {
		fleet := h.Fleet()
		if len(fleet) == 1 && check(fleet[0]) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the fleet is %+v", fleet)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestFleetGivesUpStrangersFirst: an identity that reports names without end pushes
// out those, and not the proxy that is there.
func TestFleetGivesUpStrangersFirst(t *testing.T) {
	t.Parallel()
	f := new(fleet)
	k := keyOf("catalog", "catalog-v1")
	put := func(instance string, at int64) {
		f.put(k, ProxyState{Identity: k.SPIFFEID, Workload: k.Workload, Instance: instance, Reported: time.Unix(at, 0)})
	}
	defer f.enter(k, "there")()
	put("there", 0)
	for i := range 2 * maxInstances {
		put(fmt.Sprint(i), int64(i+1))
	}
	proxies := f.byKey[k]
	if _, ok := proxies["there"]; !ok || len(proxies) != maxInstances {
		t.Errorf("of %d proxies the connected one is there: %t", len(proxies), ok)
	}
}
