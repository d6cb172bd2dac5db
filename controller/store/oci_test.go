package store

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/tar"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// What travels for a release in which one service changed is a small part of what
// travels for the first, both ways, and the base is made anew before differences
// grow to its size.
func TestDifference(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	url := h.url + "/releases"
	writer, reader := mustOpen(t, url), mustOpen(t, url)
	one := mesh(t, nil, 200, -1, "")
	if err := writer.Put(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	first, _, _ := h.reset()
	two := mesh(t, one, 200, 7, "two")
	if err := writer.Put(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	sent, _, _ := h.reset()
	got, err := reader.Get(t.Context(), Key(two), one)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, two)
	_, read, _ := h.reset()
	t.Logf("first release %d bytes, the change sent as %d, read as %d", first, sent, read)
	if sent > first/2 || read > first/2 {
		t.Errorf("the change took %d and %d bytes, the whole %d", sent, read, first)
	}
	all := mesh(t, nil, 500, 7, "all")
	if err := writer.Put(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if len(writer.(*registry).base.blobs) != all.Len() {
		t.Error("a release that is nearly all new was stored as a difference")
	}
	if got, err = reader.Get(t.Context(), Key(all), one); err != nil {
		t.Fatal(err)
	}
	same(t, got, all)
}

func TestPushPull(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	url := h.url + "/team/release:v1"
	r := mesh(t, nil, 5, -1, "").WithEnvelope([]byte(`{"payload":""}`))
	notes := map[string]string{ocispec.AnnotationRevision: "main"}
	digest, err := Push(t.Context(), url, r, notes)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Push(t.Context(), url, r, notes); err != nil || again != digest {
		t.Errorf("pushed again: %s and %v, want %s", again, err, digest)
	}
	for _, from := range []string{url, h.url + "/team/release@" + digest} {
		got, at, err := Pull(t.Context(), from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if same(t, got.WithEnvelope(nil), r); string(got.Envelope()) != string(r.Envelope()) || at != digest {
			t.Errorf("%s: envelope %q of artifact %s", from, got.Envelope(), at)
		}
	}
	for _, bad := range []string{h.url + "/team/release", h.url + "/team/release:none", "https://host/release:v1"} {
		if _, _, err := Pull(t.Context(), bad, nil); err == nil {
			t.Errorf("%s was pulled", bad)
		}
	}
	if _, err := Push(t.Context(), h.url+"/team/release@"+digest, r, nil); err == nil {
		t.Error("pushed to a digest")
	}
}

// Flux's OCIRepository takes the first layer, and source-controller extracts it
// with this function.
func TestFluxExtractsTheLayer(t *testing.T) {
	t.Parallel()
	url := newHub(t).url + "/release:v1"
	want := mesh(t, nil, 5, -1, "").WithEnvelope([]byte(`{"payload":""}`))
	if _, err := Push(t.Context(), url, want, nil); err != nil {
		t.Fatal(err)
	}
	repo, err := openRepository(url)
	if err != nil {
		t.Fatal(err)
	}
	a, err := fetchArtifact(t.Context(), repo, "v1", artifact.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	body, err := repo.Fetch(t.Context(), a.layers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	dir := t.TempDir()
	if err := tar.Untar(body, dir); err != nil {
		t.Fatal(err)
	}
	got, err := artifact.Read(os.DirFS(dir), artifact.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if same(t, got.WithEnvelope(nil), want); !bytes.Equal(got.Envelope(), want.Envelope()) {
		t.Error("the envelope was lost")
	}
}

// A registry that answers with something else than it was given.
func TestHostileRegistry(t *testing.T) {
	t.Parallel()
	r := mesh(t, nil, 5, -1, "")
	other := mesh(t, nil, 5, 1, "two")
	var whole, swapped, bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, zipped := zip.Write(make([]byte, 64<<20))
	if err := errors.Join(r.WriteTar(&whole), other.WriteTar(&swapped), zipped, zip.Close()); err != nil {
		t.Fatal(err)
	}
	bent := bytes.Clone(whole.Bytes())
	bent[len(bent)/2] ^= 1
	layer := func(data []byte) []ocispec.Descriptor {
		return []ocispec.Descriptor{content.NewDescriptorFromBytes(layerType, data)}
	}
	tests := map[string]struct {
		layers []ocispec.Descriptor
		data   []byte // of the first
		want   string
	}{
		"bent layer":          {layer(whole.Bytes()), bent, ""},
		"bent as it says":     {layer(bent), bent, ""},
		"other content":       {layer(swapped.Bytes()), swapped.Bytes(), "is in its place"},
		"a bomb":              {layer(bomb.Bytes()), bomb.Bytes(), ""},
		"no layer":            {nil, whole.Bytes(), "0 layers"},
		"three layers":        {append(append(layer(whole.Bytes()), layer(bent)...), layer(bent)...), whole.Bytes(), "3 layers"},
		"a layer of no tar":   {[]ocispec.Descriptor{content.NewDescriptorFromBytes("text/plain", whole.Bytes())}, whole.Bytes(), "text/plain"},
		"a layer far too big": {[]ocispec.Descriptor{{MediaType: layerType, Digest: layer(bent)[0].Digest, Size: maxLayer + 1}}, bent, "at most"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			repo, err := openRepository(h.url + "/r")
			if err != nil {
				t.Fatal(err)
			}
			for _, data := range [][]byte{whole.Bytes(), swapped.Bytes(), bent, bomb.Bytes()} {
				if _, err := pushLayer(t.Context(), repo, data); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := pushArtifact(t.Context(), repo, tag(Key(r)), test.layers, nil); err != nil {
				t.Fatal(err)
			}
			lying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
					_, _ = w.Write(test.data)
					return
				}
				h.ServeHTTP(w, q)
			}))
			defer lying.Close()
			_, err = mustOpen(t, "oci://"+strings.TrimPrefix(lying.URL, "http://")+"/r").Get(t.Context(), Key(r), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// A registry that deletes nothing is said to be one.
func TestKeepWhereNothingIsDeleted(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	stubborn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodDelete {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, q)
	}))
	defer stubborn.Close()
	s := mustOpen(t, "oci://"+strings.TrimPrefix(stubborn.URL, "http://")+"/r")
	if err := s.Keep(t.Context(), nil); err != nil {
		t.Errorf("a repository that is not there yet: %v", err)
	}
	if err := s.Put(t.Context(), mesh(t, nil, 1, -1, "")); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "retention policy") {
		t.Errorf("error %v", err)
	}
}
