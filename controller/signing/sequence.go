package signing

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// sequenceLease is where the highest number that was given out is written before it
// is signed, beside this replica's own file. Leader election alone does not keep a
// leader that was paused from going on where it stopped; the write of one of two
// that took the same number fails.
const (
	sequenceLease = "mesh-sign-sequence"
	annotation    = "mesh-compile.dev/sequence" // "<epoch>:<sequence>"
)

// next takes a number above all that are known to be used.
func (r *Reconciler) next(ctx context.Context, above uint64) (uint64, error) {
	epoch := r.Signer.Root().Document().SequenceEpoch
	lease := &coordinationv1.Lease{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: sequenceLease}, lease)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return 0, fmt.Errorf("reading the last sequence number: %w", err)
	}
	if e, n, ok := parseSequence(lease.Annotations[annotation]); ok && e == epoch && n > above && n-above <= maxClimb {
		above = n
	}
	n, err := r.Signer.Next(above)
	if err != nil {
		return 0, err
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[annotation] = fmt.Sprintf("%d:%d", epoch, n)
	if missing {
		lease.Namespace, lease.Name = r.Namespace, sequenceLease
		err = r.Client.Create(ctx, lease)
	} else {
		err = r.Client.Update(ctx, lease) // refused where another replica was there first
	}
	if err != nil {
		return 0, fmt.Errorf("taking sequence number %d: %w", n, err)
	}
	return n, nil
}

func parseSequence(text string) (epoch, sequence uint64, ok bool) {
	e, n, _ := strings.Cut(text, ":")
	epoch, err := strconv.ParseUint(e, 10, 64)
	sequence, err2 := strconv.ParseUint(n, 10, 64)
	return epoch, sequence, err == nil && err2 == nil
}
