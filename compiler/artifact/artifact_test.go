package artifact

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// mesh adds n workloads that share one list and have one list each.
func mesh(t testing.TB, prev *Release, n int, order *rand.Rand) *Release {
	t.Helper()
	b := NewBuilder(prev)
	common := list(t, order, "shared-a", "shared-b", "shared-c")
	constraints, err := Constraints{EndpointCIDRs: []string{"10.0.0.0/8"}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	indexes := make([]int, n)
	for i := range indexes {
		indexes[i] = i
	}
	if order != nil {
		order.Shuffle(n, func(i, j int) { indexes[i], indexes[j] = indexes[j], indexes[i] })
	}
	for _, i := range indexes {
		policy, err := AgentPolicy{Engine: EngineRBAC, Capture: CaptureNone}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.AddLeaf(Leaf{
			SPIFFEID: fmt.Sprintf("spiffe://mesh/ns/shop/sa/s%d", i/2), Workload: fmt.Sprintf("shop/w%d", i), Kind: Live,
			Slice:  b.AddSlice(common, list(t, order, fmt.Sprintf("own-%d", i))),
			Bundle: b.AddBlob(fmt.Appendf(nil, "bundle %d", i)), Constraints: b.AddBlob(constraints),
			AgentPolicy: b.AddBlob(policy), Sensitivity: Normal,
		})
	}
	b.AddLeaf(Leaf{SPIFFEID: "spiffe://mesh/ns/shop/sa/gone", Workload: "shop/gone", Kind: Tombstone, Sensitivity: Normal})
	b.Share(TrustBundle, []byte("-----BEGIN CERTIFICATE-----"))
	b.Aux(SourceMap, NewBlob([]byte(`{"rule":"file:1"}`)))
	b.SetInputs(Inputs{Compiler: "v1.2.3", Source: DigestOf([]byte("source"))})
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func list(t testing.TB, order *rand.Rand, names ...string) *List {
	t.Helper()
	var rs []Resource
	for _, n := range names {
		rs = append(rs, NewResource(clusterType, n, []byte("body of "+n)))
	}
	if order != nil {
		order.Shuffle(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
	}
	l, err := NewList(rs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tarOf(t testing.TB, r *Release) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteTar(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	want := mesh(t, nil, 9, nil)
	for seed := range uint64(20) {
		got := mesh(t, nil, 9, rand.New(rand.NewPCG(seed, 0)))
		if got.Digest() != want.Digest() || !bytes.Equal(tarOf(t, got), tarOf(t, want)) {
			t.Fatalf("seed %d: another release:\n%s", seed, cmp.Diff(string(want.Manifest()), string(got.Manifest())))
		}
	}
	if got := mesh(t, mesh(t, nil, 7, nil), 9, nil); !bytes.Equal(tarOf(t, got), tarOf(t, want)) {
		t.Error("another release when built upon a previous one")
	}
}

func TestReuseOfPreviousLeaves(t *testing.T) {
	t.Parallel()
	prev := mesh(t, nil, 4, nil)
	b := NewBuilder(prev)
	for _, l := range prev.Leaves()[1:] { // gone sorts first
		b.AddLeaf(l)
	}
	next, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := next.Aux(SourceMap); ok {
		t.Error("an auxiliary blob that was not added again is still there")
	}
	leaf := next.Leaves()[0]
	if diff := cmp.Diff(prev.Resources(leaf), next.Resources(leaf)); diff != "" {
		t.Error(diff)
	}
	if len(next.blobs) != len(prev.blobs)-2 {
		t.Errorf("%d blobs, the previous release has %d of which 2 are no longer named", len(next.blobs), len(prev.blobs))
	}
}

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "release")
	for _, n := range []int{5, 6, 3} { // each time over the release before
		want := mesh(t, nil, n, nil).WithEnvelope([]byte("signed"))
		if err := want.Write(dir); err != nil {
			t.Fatal(err)
		}
		got, err := Read(os.DirFS(dir), DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Release{}, Tree{}, List{})); diff != "" {
			t.Errorf("%d workloads:\n%s", n, diff)
		}
		fromTar, err := ReadTar(bytes.NewReader(tarOf(t, want)), DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fromTar, cmp.AllowUnexported(Release{}, Tree{}, List{})); diff != "" {
			t.Errorf("%d workloads, from tar:\n%s", n, diff)
		}
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the release there is %v, %v", left, err)
	}
}

func TestWriteKeepsForeignFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mesh(t, nil, 1, nil).Write(dir); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("error %v, want one that names thesis.txt", err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	leaf := mesh(t, nil, 1, nil).Leaves()[1]
	tests := map[string]struct {
		leaves func(b *Builder) []Leaf
		want   string
	}{
		"never added": {func(*Builder) []Leaf { return []Leaf{leaf} }, "missing"},
		"resource in two lists": {func(b *Builder) []Leaf {
			l := leaf
			l.Slice = b.AddSlice(list(t, nil, "a", "b"), list(t, nil, "b", "c"))
			return []Leaf{l}
		}, `Cluster "b" is in list`},
		"tombstone with content": {func(*Builder) []Leaf { l := leaf; l.Kind = Tombstone; return []Leaf{l} }, "a tombstone names"},
		"not an identity":        {func(*Builder) []Leaf { l := leaf; l.SPIFFEID = "bob"; return []Leaf{l} }, "not a SPIFFE ID"},
		"control character":      {func(*Builder) []Leaf { l := leaf; l.Workload = "a\nb"; return []Leaf{l} }, "not a name"},
		"unknown sensitivity":    {func(*Builder) []Leaf { l := leaf; l.Sensitivity = ""; return []Leaf{l} }, "sensitivity"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewBuilder(nil)
			for _, l := range test.leaves(b) {
				b.AddLeaf(l)
			}
			if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := NewList([]Resource{NewResource("t", "n", nil), NewResource("t", "n", []byte("x"))}); err == nil {
		t.Error("a list names one resource twice")
	}
}

func TestInclusion(t *testing.T) {
	t.Parallel()
	for n := range 17 {
		r := mesh(t, nil, n, nil)
		root, size := r.Tree().Root(), r.Tree().Size()
		for i, leaf := range r.Leaves() {
			v, err := r.View(leaf.Key())
			if err != nil || v.Index != int64(i) || v.Size != size || v.Leaf != leaf {
				t.Fatalf("view of %s: %+v, %v", leaf.Key(), v, err)
			}
			if err := VerifyInclusion(root, size, v.Inclusion); err != nil {
				t.Fatal(err)
			}
			for what, change := range map[string]func(*Inclusion){
				"other leaf":  func(in *Inclusion) { in.Leaf.MinEnvoy = "1.40.0" },
				"other place": func(in *Inclusion) { in.Index = (in.Index + 1) % (size + 1) },
				"negative":    func(in *Inclusion) { in.Index = -1 },
				"longer":      func(in *Inclusion) { in.Proof = append(slices.Clone(in.Proof), root) },
				"far longer":  func(in *Inclusion) { in.Proof = make([]Digest, 1000) },
			} {
				in := v.Inclusion
				change(&in)
				if err := VerifyInclusion(root, size, in); err == nil {
					t.Errorf("%d leaves, leaf %d, %s: accepted", size, i, what)
				}
			}
			if len(v.Proof) > 0 {
				in := v.Inclusion
				in.Proof = in.Proof[1:]
				if err := VerifyInclusion(root, size, in); err == nil {
					t.Errorf("%d leaves, leaf %d, truncated proof: accepted", size, i)
				}
			}
		}
	}
	if _, err := mesh(t, nil, 2, nil).View(Key{"spiffe://mesh/x", "shop/x"}); err == nil {
		t.Error("a view of a workload that the release does not have")
	}
}

// TestMissing plays an agent: it fetches what is missing until it can load.
func TestMissing(t *testing.T) {
	t.Parallel()
	r := mesh(t, nil, 3, nil)
	leaf := r.Leaves()[2]
	have := map[Digest][]byte{}
	get := func(d Digest) ([]byte, bool) { data, ok := have[d]; return data, ok }
	var waves []int
	for {
		missing, err := Missing(leaf, get)
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) == 0 {
			break
		}
		if _, err := Load(leaf, get); err == nil {
			t.Fatal("a leaf loads without all of its blobs")
		}
		for _, d := range missing {
			have[d], _ = r.Blob(d)
		}
		waves = append(waves, len(missing))
	}
	if diff := cmp.Diff([]int{4, 2, 4}, waves); diff != "" {
		t.Error(diff)
	}
	content, err := Load(leaf, get)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Resources(leaf), content.Resources); diff != "" {
		t.Error(diff)
	}
	if want, got := r.Closure(leaf), len(have)+1; len(want) != got { // the trust bundle is shared
		t.Errorf("the closure has %d blobs, fetched %d", len(want), got)
	}
	for d := range have {
		keep := have[d]
		have[d] = append([]byte("x"), keep...)
		var fault *BlobError
		if _, err := Load(leaf, get); !errors.As(err, &fault) {
			t.Errorf("a changed blob %s: %v", d, err)
		}
		have[d] = keep
	}
}

// TestLoadRefuses: what a signed leaf names is still read with care, because
// the agent and the builder must agree on what it means.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	r := mesh(t, nil, 1, nil)
	body := []byte("body")
	entry := Ref{Type: clusterType, Name: "x", Digest: DigestOf(body), Size: uint64(len(body))}
	tests := map[string]struct {
		lists [][]Ref
		want  BlobReason // none: it loads
	}{
		"good":                    {[][]Ref{{entry}}, ""},
		"a size that is not true": {[][]Ref{{{entry.Type, entry.Name, entry.Digest, 99}}}, BlobSize},
		"one resource twice":      {[][]Ref{{entry}, {entry, {entry.Type, "y", entry.Digest, 4}}}, BlobMalformed},
	}
	for name, test := range tests {
		have := maps.Clone(r.blobs)
		add := func(data []byte) Digest { have[DigestOf(data)] = data; return DigestOf(data) }
		add(body)
		var lists []Digest
		for _, refs := range test.lists {
			data, err := encodeList(refs)
			if err != nil {
				t.Fatal(err)
			}
			lists = append(lists, add(data))
		}
		leaf := r.Leaves()[1]
		leaf.Slice = add(EncodeSlice(lists))
		_, err := Load(leaf, func(d Digest) ([]byte, bool) { data, ok := have[d]; return data, ok })
		var fault *BlobError
		if errors.As(err, &fault) != (test.want != "") || fault != nil && fault.Reason != test.want {
			t.Errorf("%s: %v, want reason %q", name, err, test.want)
		}
	}
}

func FuzzReadTar(f *testing.F) {
	f.Add(tarOf(f, mesh(f, nil, 2, nil)))
	f.Add(tarOf(f, mesh(f, nil, 0, nil)))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte("not a tar"))))
	limits := Limits{Files: 100, Blob: 1 << 16, Index: 1 << 16, Total: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadTar(bytes.NewReader(data), limits)
		if err != nil {
			return
		}
		if again, err := ReadTar(bytes.NewReader(tarOf(t, r)), limits); err != nil || again.Digest() != r.Digest() {
			t.Errorf("what was read does not read again: %v", err)
		}
	})
}

func FuzzDecodeStructures(f *testing.F) {
	r := mesh(f, nil, 1, nil)
	leaf := r.Leaves()[1]
	f.Add(leaf.Encode())
	f.Add(r.blobs[leaf.Slice])
	f.Add(r.blobs[r.slices[leaf.Slice][0]])
	f.Add(r.Manifest())
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := DecodeLeaf(data); err == nil && !bytes.Equal(l.Encode(), data) {
			t.Error("a leaf has two encodings")
		}
		if s, err := DecodeSlice(data); err == nil && !bytes.Equal(EncodeSlice(s), data) {
			t.Error("a slice has two encodings")
		}
		if refs, err := DecodeList(data); err == nil {
			if again, err := encodeList(refs); err != nil || !bytes.Equal(again, data) {
				t.Error("a list has two encodings")
			}
		}
		_, _ = DecodeManifest(data)
	})
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		prev := mesh(b, nil, n, nil)
		b.Run(fmt.Sprintf("cold/%d", n), func(b *testing.B) {
			for b.Loop() {
				mesh(b, nil, n, nil)
			}
		})
		b.Run(fmt.Sprintf("reuse/%d", n), func(b *testing.B) {
			for b.Loop() {
				next := NewBuilder(prev)
				for _, l := range prev.Leaves() {
					next.AddLeaf(l)
				}
				if _, err := next.Build(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("tree/%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := NewTree(prev.Leaves()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	prev, next := mesh(b, nil, 1000, nil), mesh(b, nil, 1001, nil)
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "release")
		if err := prev.Write(dir); err != nil {
			b.Fatal(err)
		}
		if err := next.Write(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	layer := tarOf(b, mesh(b, nil, 1000, nil))
	for b.Loop() {
		if _, err := ReadTar(bytes.NewReader(layer), DefaultLimits); err != nil {
			b.Fatal(err)
		}
	}
}
