package compiler_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// repositories are what the tests of reuse and order compile.
func repositories(t *testing.T) map[string]fstest.MapFS {
	return map[string]fstest.MapFS{
		"shop":     directory(t, "../testdata/repos/shop"),
		"linkerd":  directory(t, "../testdata/feature/linkerd-access"),
		"bench":    repository(12, false),
		"everyone": repository(12, true),
	}
}

// directory reads one into memory, to be edited.
func directory(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	fsys := os.DirFS(dir)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		out[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// edits are what happens to a file; many of them break the repository, which
// later ones repair.
var edits = []struct{ old, now string }{
	{"timeout: 800ms", "timeout: 900ms"},
	{"weight: 90}, {version: v2, weight: 10}", "weight: 60}, {version: v2, weight: 40}"},
	{"weight: 90}, {version: v2, weight: 10}", "weight: 90}, {version: v2, weight: 20}"}, // not 100
	{"prefix: /api/3", "prefix: /api"},                                                   // shadows later rules
	{"methods: [GET]", "methods: [GET, POST]"},
	{"s0003", "s0004"}, // a service twice, another gone
	{"version: v2", "version: v3"},
	{"  uses: [", "  engine: opa\n  uses: ["},
	{"{service: s0005}", "{namespace: bench}"},
	{"{service: s0005}", "{service: nobody}"},
	{"  - name: rest", "# a comment\n  - name: rest"},
	{"kind: AccessPolicy", "kind: Accesspolicy"},
	{"weight: 90", "weight: 80"},
	{"my-service", "your-service"},
	{"strict", "permissive"},
	{"Chrome", "Firefox"},
	{"8080", "8081"},
	{"default-inbound-policy: deny", "default-inbound-policy: audit"},
	{"proxyProtocol: opaque", "proxyProtocol: TLS"},
	{"*.ops.serviceaccount", "*.shop.serviceaccount"},
	{"port: http\n", "port: 9091\n"},
	{"accessPolicy: all-authenticated", "accessPolicy: deny"},
}

// mutate edits, deletes, renames or restores one file.
func mutate(random *rand.Rand, original, now fstest.MapFS) (fstest.MapFS, string) {
	now = maps.Clone(now)
	names := slices.Sorted(maps.Keys(original))
	name := names[random.IntN(len(names))]
	switch edit := edits[random.IntN(len(edits))]; random.IntN(8) {
	case 0:
		delete(now, name)
		return now, "delete " + name
	case 1:
		now["moved/"+name] = original[name]
		delete(now, name)
		return now, "move " + name
	case 2:
		return maps.Clone(original), "restore all"
	case 3:
		delete(now, "moved/"+name)
		now[name] = original[name]
		return now, "restore " + name
	default:
		text := strings.Replace(string(original[name].Data), edit.old, edit.now, 1+random.IntN(2))
		now[name] = &fstest.MapFile{Data: []byte(text)}
		return now, "edit " + name + ": " + edit.now
	}
}

// TestPrevious: what a run takes over from earlier ones, refused ones among
// them, changes neither the release nor a finding.
func TestPrevious(t *testing.T) {
	t.Parallel()
	for name, original := range repositories(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			now, released := original, 0
			var previous *compiler.Result
			for range 60 {
				asOf := time.Unix(random.Int64N(4e9), 0)
				warm, warmDiags := compiler.Compile(now, compiler.Options{Previous: previous, AsOf: asOf})
				cold, coldDiags := compiler.Compile(now, compiler.Options{AsOf: asOf})
				if diff := cmp.Diff(coldDiags, warmDiags); diff != "" {
					t.Fatalf("diagnostics (-without +with an earlier result):\n%s", diff)
				}
				if diff := cmp.Diff(content(cold), content(warm)); diff != "" {
					t.Fatalf("release (-without +with an earlier result):\n%s", diff)
				}
				if cold.Release != nil {
					released++
				}
				var did string
				previous = warm
				now, did = mutate(random, original, now)
				t.Log(did)
			}
			if released < 5 {
				t.Errorf("only %d of 60 repositories compiled: the edits show nothing", released)
			}
		})
	}
}

// content is a release as text: its digest covers every blob, the manifest says
// which differ.
func content(r *compiler.Result) string {
	if r.Release == nil {
		return ""
	}
	return r.Release.Digest().String() + "\n" + strings.ReplaceAll(string(r.Release.Manifest()), ",", ",\n")
}

// shuffled lists directories in another order each time.
type shuffled struct {
	fstest.MapFS
	random *rand.Rand
}

func (s shuffled) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := s.MapFS.ReadDir(name)
	s.random.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	return entries, err
}

// TestDeterminism is not parallel: GOMAXPROCS is everybody's.
func TestDeterminism(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	random := rand.New(rand.NewPCG(1, 2))
	for name, fsys := range repositories(t) {
		want, diags := compiler.Compile(fsys, compiler.Options{})
		if want.Release == nil {
			t.Fatalf("%s: no release: %v", name, diags)
		}
		for _, procs := range []int{1, 2, 3, 8} {
			runtime.GOMAXPROCS(procs)
			got, found := compiler.Compile(shuffled{fsys, random}, compiler.Options{})
			if diff := cmp.Diff(content(want), content(got)); diff != "" {
				t.Errorf("%s on %d processors (-want +got):\n%s", name, procs, diff)
			}
			if diff := cmp.Diff(diags, found); diff != "" {
				t.Errorf("%s on %d processors: diagnostics (-want +got):\n%s", name, procs, diff)
			}
		}
	}
}

// TestMemory: what edits leave behind is dropped.
func TestMemory(t *testing.T) {
	base := repository(40, false)
	var result *compiler.Result
	edit := func(n int) {
		now := maps.Clone(base)
		name := "services/s0003.yaml"
		text := strings.ReplaceAll(string(base[name].Data), "route-", "r"+strings.Repeat("x", n%50)+"-")
		now[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "800ms", fmt.Sprintf("%dms", 801+n)))}
		var diags diag.List
		if result, diags = compiler.Compile(now, compiler.Options{Previous: result}); result.Release == nil {
			t.Fatalf("edit %d: no release: %s", n, diags[len(diags)-1].Message)
		}
	}
	for n := range 20 {
		edit(n)
	}
	before := heap()
	for n := range 200 {
		edit(20 + n)
	}
	if after := heap(); after > before+before/10 {
		t.Errorf("after 220 edits the result holds %d bytes, after 20 %d", after, before)
	}
	runtime.KeepAlive(result)
}

// heap is the memory in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // pools are emptied in two steps
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
