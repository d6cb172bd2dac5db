package serving

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordination "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// LeaseName is the Lease of which each annotation is a replica's roots. It comes with
// the manifests: the role may change this one and make no other.
const LeaseName = "mesh-admit-roots"

// prefix of the annotations; a replica's name follows.
const prefix = "root.mesh-compile.dev/"

// Bounds of the Lease and of what the configuration is told.
const (
	renewEvery  = 10 * time.Second
	forgotten   = time.Minute // a replica that did not renew for so long is gone
	maxReplicas = 32
	maxRoots    = 8 << 10 // of one replica
)

// Roots are those of all replicas.
type Roots struct {
	client  client.Client // reads are not cached
	key     client.ObjectKey
	replica string
}

// NewRoots returns those of a namespace, as one replica sees them.
func NewRoots(c client.Client, namespace, replica string) *Roots {
	return &Roots{client: c, key: client.ObjectKey{Namespace: namespace, Name: LeaseName}, replica: annotation(replica)}
}

// annotation is the key of a replica; one that is too long has a digest for a name.
func annotation(replica string) string {
	if len(replica) > 63 {
		digest := sha256.Sum256([]byte(replica))
		replica = hex.EncodeToString(digest[:16])
	}
	return prefix + replica
}

type entry struct {
	Renewed time.Time `json:"renewed"`
	Roots   []string  `json:"roots"`
}

// lives reports whether the replica renewed a moment ago. Clocks differ: one that did
// in the future, by more than that, would never be gone.
func (e entry) lives(now time.Time) bool { return now.Sub(e.Renewed).Abs() < forgotten }

func (r *Roots) read(ctx context.Context) (*coordination.Lease, map[string]entry, error) {
	var lease coordination.Lease
	if err := r.client.Get(ctx, r.key, &lease); err != nil {
		return nil, nil, fmt.Errorf("reading Lease %s: %w", r.key, err)
	}
	entries := map[string]entry{}
	for key, text := range lease.Annotations {
		var e entry
		if strings.HasPrefix(key, prefix) && len(text) < 2*maxRoots && json.Unmarshal([]byte(text), &e) == nil {
			entries[key] = e
		}
	}
	return &lease, entries, nil
}

// Publish says which roots this replica's certificates have, and that it lives. What
// others left who do not live any more is removed.
func (r *Roots) Publish(ctx context.Context, roots []string, now time.Time) error {
	lease, entries, err := r.read(ctx)
	if err != nil {
		return err
	}
	own := entries[r.replica]
	changed := !slices.Equal(own.Roots, roots) || now.Sub(own.Renewed) >= renewEvery
	for key := range lease.Annotations {
		if strings.HasPrefix(key, prefix) && key != r.replica && !entries[key].lives(now) {
			delete(lease.Annotations, key)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	text, err := json.Marshal(entry{now.UTC().Truncate(time.Second), roots})
	if err != nil {
		return err
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[r.replica] = string(text)
	if err := r.client.Update(ctx, lease); err != nil {
		return fmt.Errorf("writing Lease %s: %w", r.key, err)
	}
	return nil
}

// Withdraw says that this replica has ended.
func (r *Roots) Withdraw(ctx context.Context) error {
	lease, _, err := r.read(ctx)
	if err != nil {
		return err
	}
	delete(lease.Annotations, r.replica)
	if err := r.client.Update(ctx, lease); err != nil {
		return fmt.Errorf("writing Lease %s: %w", r.key, err)
	}
	return nil
}

// Bundle is the roots of the replicas that live, in one order.
func (r *Roots) Bundle(ctx context.Context, now time.Time) ([]byte, error) {
	_, entries, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	maps.DeleteFunc(entries, func(_ string, e entry) bool { return !e.lives(now) })
	keys := slices.Sorted(maps.Keys(entries))
	for _, key := range keys[:min(len(keys), maxReplicas)] {
		for _, roots := range entries[key].Roots {
			if clean, err := certificates(roots); err == nil && len(clean) <= maxRoots {
				all[clean] = true
			}
		}
	}
	return []byte(strings.Join(slices.Sorted(maps.Keys(all)), "")), nil
}

// Probe writes the Lease in dry run and returns what the API server says.
func (r *Roots) Probe(ctx context.Context) error {
	lease, _, err := r.read(ctx)
	if err != nil {
		return err
	}
	return r.client.Update(ctx, lease, client.DryRunAll)
}

// nextCertificate returns the next certificate, as PEM, and what follows.
func nextCertificate(text []byte) (certificate, rest []byte) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, nil
		}
		if block.Type == "CERTIFICATE" {
			if _, err := x509.ParseCertificate(block.Bytes); err == nil {
				return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}), rest
			}
		}
		text = rest
	}
}
