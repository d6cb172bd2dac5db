package xds_test

import (
	"strings"
	"testing"
)

// TestMetricsNameWholeClusters: Envoy's own tag extraction keeps the namespace in
// the label, and does not make it a part of the metric's name.
func TestMetricsNameWholeClusters(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- {name: all, to: [{version: v1, weight: 50}, {version: v2, weight: 50}]}
`)
	page, err := c.envoy.Admin("/stats/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1", "v2"} {
		want := `envoy_cluster_membership_total{envoy_cluster_name="outbound|8080|` + version + `|catalog/shop"} 1`
		if !strings.Contains(string(page), want) {
			t.Errorf("no metric %s", want)
		}
	}
	if strings.Contains(string(page), "envoy_cluster_shop_") {
		t.Error("the namespace is a part of metrics' names")
	}
}
