package reconcile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
)

// accepted is the objects of the cluster that the newest Release was made of. The
// release store has them beside the content, so that they outlive this process and
// are those of that Release; memory may have newer ones that mean the same.
type accepted struct {
	key      string // in the store
	objects  map[string]quarantine.Object
	held     map[string][]byte            // what was at fault then
	restrict map[string]quarantine.Object // those of the stored objects that restrict
}

// acceptedObject is one object in the store.
type acceptedObject struct {
	Group           string `json:"group,omitempty"`
	Version         string `json:"version"`
	Kind            string `json:"kind"`
	Namespace       string `json:"namespace,omitempty"`
	Name            string `json:"name"`
	ResourceVersion string `json:"resourceVersion"`
	Data            string `json:"data"`
}

// maxAccepted bounds what is read of the store, unpacked.
const maxAccepted = 1 << 30

// encodeAccepted writes objects, the same ones as the same bytes.
func encodeAccepted(all map[string]quarantine.Object) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	enc := json.NewEncoder(z)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		o := all[path]
		line := acceptedObject{o.Group, o.Version, o.Kind, o.Namespace, o.Name, o.ResourceVersion, string(o.Data)}
		if err := enc.Encode(line); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decodeAccepted(data []byte) (map[string]quarantine.Object, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out := map[string]quarantine.Object{}
	dec := json.NewDecoder(&io.LimitedReader{R: z, N: maxAccepted})
	dec.DisallowUnknownFields()
	for {
		var o acceptedObject
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		meta := objects.Meta{Group: o.Group, Version: o.Version, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion}
		out[objects.Path(o.Group, o.Kind, o.Namespace, o.Name)] = quarantine.Object{Meta: meta, Data: []byte(o.Data)}
	}
}

// lastAccepted returns what the newest Release was made of.
func (r *Reconciler) lastAccepted(ctx context.Context) (accepted, error) {
	releases, err := r.releases(ctx, r.Reader)
	if err != nil {
		return accepted{}, retry(v1alpha1.ReasonProgressingRetry, err)
	}
	key := ""
	if n := len(releases); n > 0 {
		key = releases[n-1].Spec.Accepted
	}
	if key == r.accepted.key {
		return r.accepted, nil
	}
	all, err := r.loadAccepted(ctx, key)
	if err != nil {
		return accepted{}, retry(v1alpha1.ReasonStoreFailed, fmt.Errorf("reading the objects that Release %s was made of: %w", releases[len(releases)-1].Name, err))
	}
	r.accepted = accepted{key: key, objects: all, restrict: restricting(all)}
	return r.accepted, nil
}

func (r *Reconciler) loadAccepted(ctx context.Context, key string) (map[string]quarantine.Object, error) {
	if key == "" {
		return nil, nil
	}
	digest, err := artifact.ParseDigest(key)
	if err != nil {
		return nil, err
	}
	data, err := r.Store.File(ctx, digest)
	if err != nil {
		return nil, err
	}
	return decodeAccepted(data)
}

// restricting are the objects that restrict.
func restricting(all map[string]quarantine.Object) map[string]quarantine.Object {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(_ string, o quarantine.Object) bool {
		kind, _ := objects.KindOf(o.Group, o.Kind)
		return !kind.Of(o.Data).Restricts
	})
	return out
}

// stored reports whether the store may go on with what it has: a Release is made
// though the content is the same where what restricts is not.
func (r *Reconciler) stored(a *attempt) bool {
	switch {
	case a.failed != nil: // what is live is what was brought back
		return true
	case a.view == nil:
		return a.release.Spec.Accepted == ""
	}
	return a.release.Spec.Accepted == a.view.last.key && a.view.last.key != "" &&
		maps.EqualFunc(restricting(a.settled.InForce), a.view.last.restrict, func(x, y quarantine.Object) bool { return bytes.Equal(x.Data, y.Data) })
}

// storeAccepted puts the objects of the cluster that the attempt's release is made of beside
// its content.
func (r *Reconciler) storeAccepted(ctx context.Context, a *attempt) (key string, err error) {
	if a.view == nil {
		return "", nil
	}
	data, err := encodeAccepted(a.settled.InForce)
	if err != nil {
		return "", err
	}
	digest, err := r.Store.PutFile(ctx, data)
	return digest.String(), err
}

// accept remembers what the newest Release was made of.
func (r *Reconciler) accept(a *attempt) {
	if a.view == nil || a.failed != nil {
		return
	}
	next := accepted{key: a.release.Spec.Accepted, objects: a.settled.InForce, restrict: a.view.last.restrict, held: map[string][]byte{}}
	if next.key != a.view.last.key {
		next.restrict = restricting(next.objects)
	}
	for _, h := range a.settled.Held {
		if h.Itself {
			next.held[h.Path] = h.Object.Data
		}
	}
	r.accepted = next
}
