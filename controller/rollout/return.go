package rollout

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Changed is the workloads, namespace/name, for which a release is another one than
// what they may run. Nil says that nobody knows, and any may be one of them.
type Changed map[string]bool

func (c Changed) has(workload string) bool { return c == nil || c[workload] }

// Return returns the newest Release and the one whose content is to be everybody's
// again, where the newest failed, its settings say so, and its proxies agree; nil where
// there is nothing to do. What was signed in CI cannot go back: nobody here could sign
// it. The list is in the order of its numbers.
func Return(list []v1alpha1.Release, proxies []v1alpha1.ProxyReport, changed Changed, now time.Time) (failed, to *v1alpha1.Release) {
	if len(list) == 0 {
		return nil, nil
	}
	failed = &list[len(list)-1]
	settings := failed.Spec.Rollout
	halted := failed.Status.Rollout != nil && failed.Status.Rollout.Phase == v1alpha1.RolloutHalted
	if !halted || settings == nil || settings.OnFailure != "return" || len(failed.Spec.Envelope) > 0 {
		return failed, nil
	}
	if changed == nil || !agreed(failed, proxies, changed, now) {
		return failed, nil
	}
	return failed, Fallback(list, failed.Status.Sequence)
}

// agreed reports whether a release failed in every namespace that it changed so far.
// Proxies are their owners', who may lie: where one namespace runs the release, such as
// one that it protects, another one's word does not take it away again.
func agreed(r *v1alpha1.Release, proxies []v1alpha1.ProxyReport, changed Changed, now time.Time) bool {
	all, failed := map[string]int{}, map[string]int{} // proxies by workload
	for i := range proxies {
		p := &proxies[i]
		if !asked(r, r.Status.Rollout.Wave, p, changed) {
			continue
		}
		all[p.Workload]++
		if failedAt(r, p) || !runs(r, p) && overdue(r, r.Status.Rollout, now) {
			failed[p.Workload]++
		}
	}
	namespaces := map[string]bool{}
	for workload, n := range all {
		namespace, _, _ := strings.Cut(workload, "/")
		namespaces[namespace] = namespaces[namespace] || failed[workload] > 1 || failed[workload] == n
	}
	return len(namespaces) > 0 && !slices.Contains(slices.Collect(maps.Values(namespaces)), false)
}
