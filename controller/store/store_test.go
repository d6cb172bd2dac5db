package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	memory "github.com/google/go-containerregistry/pkg/registry"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// mesh returns the release of n services, each with resources that say its
// version; changed is the one whose version is another.
func mesh(t testing.TB, prev *artifact.Release, n, changed int, version string) *artifact.Release {
	t.Helper()
	b := artifact.NewBuilder(prev)
	constraints, err := artifact.Constraints{EndpointCIDRs: []string{"10.0.0.0/8"}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := artifact.AgentPolicy{Engine: artifact.EngineRBAC, Capture: artifact.CaptureNone}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		v := "one"
		if i == changed {
			v = version
		}
		var resources []artifact.Resource
		for _, kind := range []string{"listener", "route", "cluster"} {
			name := fmt.Sprintf("%s-%d", kind, i)
			body := fmt.Appendf(nil, "%s of version %s %s", name, v, strings.Repeat(name, 100))
			resources = append(resources, artifact.NewResource("type.googleapis.com/"+kind, name, body))
		}
		list, err := artifact.NewList(resources)
		if err != nil {
			t.Fatal(err)
		}
		b.AddLeaf(artifact.Leaf{
			SPIFFEID: fmt.Sprintf("spiffe://mesh/ns/shop/sa/s%d", i), Workload: fmt.Sprintf("shop/w%d", i), Kind: artifact.Live,
			Slice: b.AddSlice(list), Constraints: b.AddBlob(constraints), AgentPolicy: b.AddBlob(policy), Sensitivity: artifact.Normal,
		})
	}
	b.Share(artifact.TrustBundle, []byte("-----BEGIN CERTIFICATE-----"))
	b.Aux(artifact.SourceMap, artifact.NewBlob([]byte(`{"rule":"file:1"}`)))
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hub is a registry on a loopback port that counts what it is sent and asked for.
type hub struct {
	url     string // oci://127.0.0.1:port
	handler http.Handler

	mu       sync.Mutex
	in, out  int64 // bytes of blobs
	requests int
	tags     map[string]string // path of the tag's manifest to digest
}

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{handler: memory.New(memory.Logger(log.New(io.Discard, "", 0))), tags: map[string]string{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = "oci://" + strings.TrimPrefix(server.URL, "http://")
	return h
}

// ServeHTTP passes requests on. The registry in memory keeps the tags of a
// manifest that is deleted; others do not.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := &countingWriter{ResponseWriter: w}
	h.handler.ServeHTTP(counted, r)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests++
	dir, last := r.URL.Path[:strings.LastIndex(r.URL.Path, "/")+1], r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch isManifest := strings.HasSuffix(dir, "/manifests/"); {
	case isManifest && r.Method == http.MethodPut:
		h.tags[r.URL.Path] = w.Header().Get("Docker-Content-Digest")
	case isManifest && r.Method == http.MethodDelete:
		for path, digest := range h.tags {
			if digest == last && strings.HasPrefix(path, dir) {
				h.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, path, nil))
			}
		}
	case !isManifest:
		h.in += max(0, r.ContentLength)
		h.out += counted.n
	}
}

func (h *hub) reset() (in, out int64, requests int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	in, out, requests = h.in, h.out, h.requests
	h.in, h.out, h.requests = 0, 0, 0
	return in, out, requests
}

type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// places are the URLs of a store of each kind.
func places(t testing.TB) map[string]string {
	return map[string]string{"file": "file://" + t.TempDir(), "oci": newHub(t).url + "/team/releases"}
}

func mustOpen(t testing.TB, url string) Store {
	t.Helper()
	s, err := Open(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func same(t testing.TB, got, want *artifact.Release) {
	t.Helper()
	var a, b bytes.Buffer
	if err := errors.Join(got.WriteTar(&a), want.WithEnvelope(nil).WriteTar(&b)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("content %s came back as %s, or with other blobs", Key(want), Key(got))
	}
}

func TestPutGetKeep(t *testing.T) {
	for kind, url := range places(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			writer, reader := mustOpen(t, url), mustOpen(t, url)
			one := mesh(t, nil, 20, -1, "")
			two := mesh(t, one, 20, 3, "two").WithEnvelope([]byte("signed"))
			three := mesh(t, two, 20, 4, "three")
			if _, err := reader.Get(ctx, Key(one), nil); !errors.Is(err, ErrNotFound) {
				t.Errorf("before anything was put: %v, want ErrNotFound", err)
			}
			for _, r := range []*artifact.Release{one, two, one, three} {
				if err := writer.Put(ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			var prev *artifact.Release
			for _, want := range []*artifact.Release{one, two, three, one} {
				for _, prev := range []*artifact.Release{nil, prev} {
					got, err := reader.Get(ctx, Key(want), prev)
					if err != nil {
						t.Fatal(err)
					}
					if same(t, got, want); got.Envelope() != nil {
						t.Error("an envelope came with the content")
					}
				}
				prev = want
			}
			if err := writer.Keep(ctx, []artifact.Digest{Key(one), Key(three), {1}}); err != nil {
				t.Fatal(err)
			}
			if _, err := reader.Get(ctx, Key(two), nil); !errors.Is(err, ErrNotFound) {
				t.Errorf("content that was not kept: %v, want ErrNotFound", err)
			}
			for _, want := range []*artifact.Release{one, three} {
				got, err := mustOpen(t, url).Get(ctx, Key(want), nil)
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, want)
			}
			// What was removed can be put again, by one who thinks it is there too.
			if err := writer.Put(ctx, two); err != nil {
				t.Fatal(err)
			}
			if _, err := reader.Get(ctx, Key(two), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOthersRemove(t *testing.T) {
	for kind, url := range places(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			first, second := mustOpen(t, url), mustOpen(t, url)
			one, two := mesh(t, nil, 5, -1, ""), mesh(t, nil, 5, 0, "two")
			for _, step := range []func() error{
				func() error { return first.Put(ctx, one) },
				func() error { return second.Put(ctx, two) },
				func() error { return second.Keep(ctx, []artifact.Digest{Key(two)}) },
				func() error { return first.Put(ctx, one) }, // not what the first remembers
				func() error { _, err := second.Get(ctx, Key(one), nil); return err },
				func() error { return second.Keep(ctx, nil) },
				func() error { return first.Put(ctx, two) },
				func() error { _, err := second.Get(ctx, Key(two), nil); return err },
			} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Writers, readers and a remover at once, each with a store of its own: a reader
// gets a content whole or hears that it is not there.
func TestConcurrent(t *testing.T) {
	for kind, url := range places(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			all := []*artifact.Release{mesh(t, nil, 30, -1, "")}
			for i := range 6 {
				all = append(all, mesh(t, all[0], 30, i, "changed"))
			}
			ctx, cancel := context.WithCancel(t.Context())
			var readers, writers sync.WaitGroup
			for range 2 {
				s := mustOpen(t, url)
				writers.Go(func() {
					for round := range 3 {
						for i, r := range all {
							if err := s.Put(ctx, r); err != nil {
								t.Errorf("round %d: %v", round, err)
							}
							if err := s.Keep(ctx, []artifact.Digest{Key(all[0]), Key(all[(i+1)%len(all)]), Key(r)}); err != nil {
								t.Errorf("round %d: %v", round, err)
							}
						}
					}
				})
				readers.Go(func() { readUntil(ctx, t, mustOpen(t, url), all) })
			}
			writers.Wait()
			cancel()
			readers.Wait()
			got, err := mustOpen(t, url).Get(t.Context(), Key(all[0]), nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, all[0])
		})
	}
}

func readUntil(ctx context.Context, t *testing.T, s Store, all []*artifact.Release) {
	var prev *artifact.Release
	for ctx.Err() == nil {
		for i, want := range all {
			r, err := s.Get(ctx, Key(want), prev)
			var gone *artifact.BlobError // removed while it was read
			switch {
			case err == nil:
				same(t, r, want)
				prev = r
			case ctx.Err() != nil || errors.Is(err, ErrNotFound) || errors.As(err, &gone) && gone.Reason == artifact.BlobMissing && i > 0:
			default:
				t.Errorf("reading content %d: %v", i, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{
		"", "/var/lib/releases", "file://relative/dir", "file:relative", "file:///a?b=c", "https://host/repo",
		"oci://host", "oci://host/UPPER", "oci://host/repo:tag", "oci://host/repo?secure=no", "oci://host/repo?insecure=maybe",
	} {
		if _, err := Open(url); err == nil {
			t.Errorf("%q was opened", url)
		}
	}
	for url, plain := range map[string]bool{
		"oci://registry.example/team/releases": false, "oci://registry.example/r?insecure=true": true, "oci://localhost:5000/r": true,
		"oci://127.0.0.1:5000/r": true, "oci://127.0.0.1:5000/r?insecure=false": false,
	} {
		repo, err := openRepository(url)
		if err != nil {
			t.Fatal(err)
		}
		if repo.PlainHTTP != plain {
			t.Errorf("%s: plain HTTP is %v", url, repo.PlainHTTP)
		}
	}
}
