// Package rollout decides how far a release has spread: which workloads its waves
// have come to, and what comes next.
//
// In go Releases, what proxies say of themselves, and the time; out come answers.
// The package reads no clock and writes nothing, so that every replica of every
// role decides alike.
package rollout

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Signed reports whether a Release has an envelope. Whether one that it came with is
// good is for who has the root document to say, by the sequence in its status.
func Signed(r *v1alpha1.Release) bool {
	return len(r.Spec.Envelope) > 0 && r.Status.Sequence > 0 || r.Status.Signature != nil
}

// Complete reports whether a Release is everybody's.
func Complete(r *v1alpha1.Release) bool {
	return r.Status.Rollout != nil && r.Status.Rollout.Phase == v1alpha1.RolloutComplete
}

// Over reports whether nothing more comes of a rollout.
func Over(r *v1alpha1.Release) bool {
	if r.Status.Rollout == nil {
		return false
	}
	switch r.Status.Rollout.Phase {
	case v1alpha1.RolloutComplete, v1alpha1.RolloutHalted, v1alpha1.RolloutSuperseded:
		return true
	}
	return false
}

// Newest returns the signed Release with the highest sequence, nil where there is
// none.
func Newest(list []v1alpha1.Release) *v1alpha1.Release {
	var newest *v1alpha1.Release
	for i := range list {
		if r := &list[i]; Signed(r) && (newest == nil || r.Status.Sequence > newest.Status.Sequence) {
			newest = r
		}
	}
	return newest
}

// Fallback returns the newest complete Release below a sequence, nil where there is
// none: what workloads keep that the rollout has not come to.
func Fallback(list []v1alpha1.Release, below int64) *v1alpha1.Release {
	var found *v1alpha1.Release
	for i := range list {
		r := &list[i]
		if Signed(r) && Complete(r) && r.Status.Sequence < below && (found == nil || r.Status.Sequence > found.Status.Sequence) {
			found = r
		}
	}
	return found
}

// waves returns how many a Release has: those that are written, and the one that
// is everybody.
func waves(r *v1alpha1.Release) int32 {
	if r.Spec.Rollout == nil {
		return 1
	}
	return int32(len(r.Spec.Rollout.Waves)) + 1
}

// Reached reports whether the waves of a Release have come to a workload,
// namespace/name. One that nobody has begun to roll out has come to none, but for
// one without waves, which is everybody's from the start.
func Reached(r *v1alpha1.Release, workload string) bool {
	if r.Spec.Rollout == nil || Complete(r) {
		return true
	}
	if r.Status.Rollout == nil {
		return false
	}
	return reachedBy(r, r.Status.Rollout.Wave, workload)
}

func reachedBy(r *v1alpha1.Release, wave int32, workload string) bool {
	if wave >= waves(r) {
		return true
	}
	return wave > 0 && slices.ContainsFunc(r.Spec.Rollout.Waves[:wave], func(w v1alpha1.RolloutWave) bool { return includes(w, workload) })
}

func includes(w v1alpha1.RolloutWave, workload string) bool {
	if w.Percent != nil {
		return share(workload) < *w.Percent
	}
	namespace, _, _ := strings.Cut(workload, "/")
	return slices.ContainsFunc(w.Workloads, func(p v1alpha1.WorkloadPattern) bool {
		return string(p) == workload || string(p) == namespace+"/*"
	})
}

// share puts a workload at a place between 0 and 99, the same for ever: a larger
// percentage holds all of a smaller one.
func share(workload string) int32 {
	sum := sha256.Sum256([]byte(workload))
	return int32(binary.BigEndian.Uint64(sum[:8]) % 100)
}

const defaultDeadline = 5 * time.Minute

// deadline of each wave; 0 where none was asked for, because without waves nobody
// is held back by one who does not answer.
func deadline(r *v1alpha1.Release) time.Duration {
	if r.Spec.Rollout == nil {
		return 0
	}
	return duration(r.Spec.Rollout.Deadline, defaultDeadline)
}

func duration(d *v1alpha1.Duration, unless time.Duration) time.Duration {
	if d == nil {
		return unless
	}
	parsed, err := time.ParseDuration(string(*d))
	if err != nil {
		return unless // the API server has checked its shape
	}
	return parsed
}
