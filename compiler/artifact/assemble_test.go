package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// from counts what is asked of a release.
func from(r *Release, asked *[]Digest) func(Digest) ([]byte, error) {
	return func(d Digest) ([]byte, error) {
		*asked = append(*asked, d)
		data, ok := r.Blob(d)
		if !ok {
			return nil, &BlobError{Digest: d, Reason: BlobMissing}
		}
		return data, nil
	}
}

func TestAssemble(t *testing.T) {
	old, next := mesh(t, nil, 8, nil), mesh(t, nil, 9, nil)
	var asked []Digest
	whole, err := Assemble(next.Manifest(), nil, DefaultLimits, from(next, &asked))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tarOf(t, whole), tarOf(t, next)) {
		t.Error("assembled of all its blobs, the release is another")
	}
	if len(asked) != next.Len() {
		t.Errorf("%d blobs were asked for, the release has %d", len(asked), next.Len())
	}
	asked = nil
	over, err := Assemble(next.Manifest(), old, DefaultLimits, from(next, &asked))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tarOf(t, over), tarOf(t, next)) {
		t.Error("assembled over the one before, the release is another")
	}
	// The ninth workload's slice, list, resource and bundle.
	if len(asked) != 4 {
		t.Errorf("%d blobs were asked for, want 4", len(asked))
	}
}

func TestAssembleRefuses(t *testing.T) {
	r := mesh(t, nil, 4, nil)
	all := func(d Digest) ([]byte, error) { data, _ := r.Blob(d); return data, nil }
	bent := func(d Digest) ([]byte, error) {
		data := bytes.Clone(must(all(d)))
		data[len(data)/2] ^= 1
		return data, nil
	}
	small := DefaultLimits
	small.Total = int64(len(r.Manifest())) + 100
	few := DefaultLimits
	few.Files = 3
	tests := map[string]struct {
		manifest []byte
		limits   Limits
		get      func(Digest) ([]byte, error)
		reason   BlobReason
	}{
		"other bytes":    {r.Manifest(), DefaultLimits, bent, BlobDigest},
		"too much":       {r.Manifest(), small, all, BlobSize},
		"too many":       {r.Manifest(), few, all, ""},
		"bent manifest":  {bytes.Replace(r.Manifest(), []byte("shop/w1"), []byte("shop/w9"), 1), DefaultLimits, all, ""},
		"half manifest":  {r.Manifest()[:100], DefaultLimits, all, ""},
		"no such source": {r.Manifest(), DefaultLimits, func(Digest) ([]byte, error) { return nil, errors.New("gone") }, ""},
	}
	for name, test := range tests {
		got, err := Assemble(test.manifest, nil, test.limits, test.get)
		if err == nil {
			t.Errorf("%s: made release %s", name, got.Digest())
			continue
		}
		var fault *BlobError
		if test.reason != "" && (!errors.As(err, &fault) || fault.Reason != test.reason) {
			t.Errorf("%s: %v, want reason %s", name, err, test.reason)
		}
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func TestLayers(t *testing.T) {
	old, next := mesh(t, nil, 8, nil), mesh(t, nil, 9, nil).WithEnvelope([]byte("{}"))
	var difference bytes.Buffer
	if err := next.WriteDifference(&difference, func(d Digest) bool { _, ok := old.Blob(d); return ok }); err != nil {
		t.Fatal(err)
	}
	base := layer(t, tarOf(t, old))
	top := layer(t, difference.Bytes())
	if top.Envelope() != nil || !bytes.Equal(top.Manifest(), next.Manifest()) {
		t.Error("the difference is not that of the unsigned release")
	}
	got, err := Assemble(top.Manifest(), nil, DefaultLimits, func(d Digest) ([]byte, error) {
		for _, l := range []*Layer{top, base} {
			if data, ok := l.Blob(d); ok {
				return data, nil
			}
		}
		return nil, fmt.Errorf("%s is in neither", d)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tarOf(t, got.WithEnvelope([]byte("{}"))), tarOf(t, next)) {
		t.Error("base and difference give another release")
	}
}

func layer(t *testing.T, data []byte) *Layer {
	t.Helper()
	l, err := ReadLayer(bytes.NewReader(data), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
