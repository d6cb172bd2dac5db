package kubernetes

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/node"
)

// fleet: the command shows every proxy with what it runs, and a pipeline can wait for a release.
func (w *world) fleet() {
	sequence := w.published(w.policies(map[string]string{"route.yaml": route(35)}))
	w.meshCompile("wait", "--kubeconfig", w.cluster.Kubeconfig(), "-n", system, "--release", fmt.Sprint(sequence), "--timeout", "1m",
		"--workload", "shop/customer", "--workload", "shop/catalog-v1", "--workload", "shop/catalog-v2")
	out := w.meshCompile("fleet", "--kubeconfig", w.cluster.Kubeconfig(), "-n", system, "--format", "json")
	var shown struct {
		Proxies []struct {
			Workload string
			State    string
			Sequence int64
		}
	}
	w.must(json.Unmarshal([]byte(out), &shown))
	if len(shown.Proxies) != len(w.sidecars()) {
		w.t.Errorf("%d proxies are shown:\n%s", len(shown.Proxies), out)
	}
	for _, p := range shown.Proxies {
		if p.Sequence != sequence || p.State != "applied" {
			w.t.Errorf("%s has release %d (%s), not %d", p.Workload, p.Sequence, p.State, sequence)
		}
	}
	if table := w.cluster.Kubectl(w.t, "-n", system, "get", "mcrelease"); !strings.Contains(table, fmt.Sprint(sequence)) {
		w.t.Errorf("kubectl shows\n%s", table)
	}
}

// replicas: agents go to another replica of deliver when theirs ends politely, and when it is killed.
func (w *world) replicas() {
	second := w.node.Run(w.t, system, "mesh-deliver")
	second.Ready(w.t)
	for _, end := range []func(*node.Pod){(*node.Pod).Stop, (*node.Pod).Kill} {
		first := w.roles["deliver"]
		w.underLoad(func() {
			end(first)
			w.customer.Runs(w.t, w.published(w.policies(map[string]string{"route.yaml": route(10)})))
			w.must(first.Start())
			first.Ready(w.t)
			end(second)
			w.customer.Runs(w.t, w.published(w.policies(map[string]string{"route.yaml": route(15)})))
			w.must(second.Start())
			second.Ready(w.t)
		})
	}
	second.Stop()
}
