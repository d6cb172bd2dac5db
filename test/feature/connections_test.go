package feature_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// connections: each service has one limit of its own, and plain has none. Envoy says
// in its cluster's statistics why it closed a connection, and which protocol it spoke
// (Envoy's docs, Cluster manager statistics).
func connections(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	services := []string{"plain", "requests", "upgraded", "idle", "aged"}
	for _, service := range services {
		for range 10 {
			if got := c.ask(service, "/", nil); got.Status != http.StatusOK {
				t.Fatalf("%s: %s", service, &got)
			}
		}
	}
	for stat, only := range map[string]string{
		"max_requests": "requests", "http2_total": "upgraded", "idle_timeout": "idle", "max_duration_reached": "aged",
	} {
		c.eventually(func() error {
			if c.cx(only, stat) == 0 {
				return fmt.Errorf("%s has not counted upstream_cx_%s", only, stat)
			}
			return nil
		})
		for _, service := range services {
			if got := c.cx(service, stat); service != only && got != 0 {
				t.Errorf("%s counted upstream_cx_%s %d times, want none", service, stat, got)
			}
		}
	}
	if few, many := c.cx("plain", "total"), c.cx("requests", "total"); many < 5 || few >= many {
		t.Errorf("10 requests, two a connection, took %d connections, and without the limit %d", many, few)
	}
	if got := c.cx("upgraded", "http1_total"); got != 0 {
		t.Errorf("%d connections of HTTP/1.1 to the service that is upgraded", got)
	}
}

// istioConnections: the same by DestinationRules, and how many streams a connection has.
func istioConnections(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	connections(t, m, run)
	c := client{t: t, mesh: m, run: run}
	for service, own := range map[string]bool{"streams": true, "upgraded": false} {
		release := c.hold(service, 6)
		if got := c.cx(service, "active"); (got >= 6) != own {
			t.Errorf("%s: six streams on %d connections, want a connection for each: %t", service, got, own)
		}
		release()
	}
}

// cx reads a number of the connections to a service.
func (c client) cx(service, stat string) uint64 {
	c.t.Helper()
	name := "cluster.outbound|8080||" + service + "/shop.upstream_cx_" + stat
	stats, err := c.run.Envoys(c.as())[0].Stats(name)
	if err != nil {
		c.t.Fatal(err)
	}
	got, ok := stats[name]
	if !ok {
		c.t.Fatalf("Envoy has no %s", name)
	}
	return got
}
