package endpoints

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(addresses ...string) []Endpoint {
	var out []Endpoint
	for _, a := range addresses {
		out = append(out, Endpoint{Address: netip.MustParseAddr(a), Port: 80})
	}
	return out
}

// render is what a test compares: cluster to addresses.
func render(changes []Change) map[string][]string {
	out := map[string][]string{}
	for _, c := range changes {
		out[c.Cluster] = []string{}
		for _, e := range c.Endpoints {
			out[c.Cluster] = append(out[c.Cluster], e.Address.String())
		}
	}
	return out
}

func expect(t *testing.T, w *Watch, want map[string][]string) {
	t.Helper()
	if diff := cmp.Diff(want, render(w.Take())); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	select {
	case <-w.Changed():
	default:
	}
}

func TestWatch(t *testing.T) {
	table := NewTable()
	table.Set("a", at("10.0.0.2", "10.0.0.1", "10.0.0.1"))
	w := table.Watch()
	w.Follow([]string{"a", "b"})
	expect(t, w, map[string][]string{"a": {"10.0.0.1", "10.0.0.2"}}) // b is not known
	table.Set("b", nil)
	table.Set("c", at("10.0.0.3"))
	expect(t, w, map[string][]string{"b": {}}) // no endpoints is a fact; c is not followed
	table.Set("a", at("10.0.0.1", "10.0.0.2"))
	expect(t, w, map[string][]string{}) // the same in another order
	for _, last := range []string{"10.0.0.7", "10.0.0.8", "10.0.0.9"} {
		table.Set("a", at(last))
	}
	if len(w.Changed()) != 1 {
		t.Error("a change does not wake the watch, or more than once")
	}
	expect(t, w, map[string][]string{"a": {"10.0.0.9"}})
	w.Follow([]string{"b", "c"})
	table.Set("a", at("10.0.0.1"))
	expect(t, w, map[string][]string{"c": {"10.0.0.3"}}) // b was told before
	w.Close()
	table.Set("b", at("10.0.0.1"))
	expect(t, w, map[string][]string{})
	if len(table.watches) != 0 {
		t.Errorf("a closed watch is still in the table: %v", table.watches)
	}
}

// dns is a zone that tests change.
type dns struct {
	mu   sync.Mutex
	zone map[string][]string
}

func (d *dns) set(name string, addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zone[name] = addresses
}

func (d *dns) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.zone[name]) == 0 {
		return nil, errors.New("no such host")
	}
	var out []netip.Addr
	for _, a := range d.zone[name] {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := &dns{zone: map[string][]string{}}
		zone.set("db", "::ffff:10.1.0.1")
		table := NewTable()
		r := NewResolver(table, zone.lookup, time.Second, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		w := table.Watch()
		w.Follow([]string{"static", "dns", "none"})

		r.Set(map[string][]Target{
			"static": {{Host: "10.0.0.1", Port: 80}},
			"dns":    {{Host: "db", Port: 80}, {Host: "10.0.0.2", Port: 80}},
			"none":   {{Host: "nowhere", Port: 80}},
		})
		if _, ok := table.Get("static"); !ok {
			t.Error("addresses wait for names")
		}
		synctest.Wait()
		// A name that does not resolve is an answer: Envoy must not wait for it.
		expect(t, w, map[string][]string{"static": {"10.0.0.1"}, "dns": {"10.0.0.2", "10.1.0.1"}, "none": {}})

		zone.set("db", "10.1.0.2")
		zone.set("nowhere", "10.1.0.3")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, w, map[string][]string{"dns": {"10.0.0.2", "10.1.0.2"}, "none": {"10.1.0.3"}})

		zone.set("db") // fails: the last addresses stay
		time.Sleep(10 * time.Second)
		synctest.Wait()
		expect(t, w, map[string][]string{})

		r.Set(map[string][]Target{"static": {{Host: "10.0.0.1", Port: 80}}})
		if _, ok := table.Get("dns"); !ok {
			t.Error("the endpoints of a cluster of the release before are gone")
		}
		r.Set(map[string][]Target{"static": {{Host: "10.0.0.1", Port: 80}}})
		if _, ok := table.Get("dns"); ok || table.Len() != 1 {
			t.Error("endpoints are kept for ever")
		}
		expect(t, w, map[string][]string{})
	})
}
