package admission_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// TestCompilations counts them: an admitted write is not compiled again when the
// informers show it, and a burst of events costs one compilation.
func TestCompilations(t *testing.T) {
	c := newCluster(t, nativeService, 4)
	var shown atomic.Pointer[objects.Set]
	shown.Store(c.set)
	r := admission.New(admission.Options{Base: shown.Load, Timeout: time.Minute})
	review := func(n int, dryRun bool) {
		t.Helper()
		req := c.updates[n]
		req.DryRun = dryRun
		if v, err := r.Review(t.Context(), req); err != nil || !v.Allowed {
			t.Fatalf("allowed %t: %s %v", v.Allowed, v.Message, err)
		}
	}
	expect := func(what string, want int64) {
		t.Helper()
		if got := r.Compilations(); got != want {
			t.Fatalf("%s: %d compilations, want %d", what, got, want)
		}
	}
	review(0, true)
	expect("the first review", 2)
	review(0, true)
	expect("again, in dry run", 3)
	review(0, false)
	expect("admitted", 4)
	review(1, false)
	expect("another, before the informers show the first", 5)
	for n := range 2 {
		shown.Store(shown.Load().With(path(c.updates[n]), c.data[n]))
		review(2, true)
	}
	expect("two more, after each is shown", 7)
	for n := 10; n < 40; n++ {
		shown.Store(shown.Load().With(path(c.updates[n]), c.data[n]))
	}
	review(3, true)
	expect("after a burst of what others wrote", 9)

	shown.Store(shown.Load().With(path(c.updates[40]), c.data[40]))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			req := c.updates[5]
			req.DryRun = true
			if _, err := r.Review(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	expect("eight at a time over something new", 18)
}

// TestFollow: what the informers show is compiled before a review asks, and a burst
// costs less than its events.
func TestFollow(t *testing.T) {
	c := newCluster(t, nativeService, 4)
	var shown atomic.Pointer[objects.Set]
	r := admission.New(admission.Options{Base: shown.Load, Timeout: time.Minute})
	changed := make(chan struct{}, 1)
	change := func(n int) {
		shown.Store(shown.Load().With(path(c.updates[n]), c.data[n]))
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	until := func(what string, n int64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); r.Compilations() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d compilations, want %d", what, r.Compilations(), n)
			}
		}
	}
	ctx, end := context.WithCancel(t.Context())
	followed := make(chan struct{})
	go func() { defer close(followed); r.Follow(ctx, changed) }()
	defer func() { end(); <-followed }()

	changed <- struct{}{} // while not all is read
	shown.Store(c.set)
	until("read without a change", 1)
	change(0)
	until("one change", 2)
	start := time.Now()
	for n := 1; n < 60; n++ {
		change(n)
	}
	most := 4 + int64(time.Since(start)/admission.Between)
	review := func() int64 {
		before := r.Compilations()
		req := c.updates[60]
		req.DryRun = true
		if _, err := r.Review(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		return r.Compilations() - before
	}
	for end := time.Now().Add(time.Minute); review() != 1; { // its own alone
		if time.Now().After(end) {
			t.Fatal("what is shown is never compiled before a review")
		}
		most += 2 // the review's
	}
	if got := r.Compilations() - 1; got > most {
		t.Errorf("%d compilations for a burst, want %d at most", got, most)
	}
}

func path(req admission.Request) string {
	return objects.Path(req.Group, req.Kind, req.Namespace, req.Name)
}

// breaks are edits that reviewers find something in, now and then elsewhere.
var breaks = []struct{ old, now string }{
	{"weight: ", "weight: 9"},
	{"prefix: /api/3", "prefix: /api"},
	{"perTryTimeout: 300ms", "perTryTimeout: 900ms"},
	{"v1", "v3"},
	{"s0001", "s0002"},
	{"s0001", "nobody"},
	{"methods", "method"},
	{"GET", "POST"},
	{"/api", "/ap*"},
	{"timeout: 800ms", "timeout: 100ms"},
}

// TestWarm makes writes at random, some of them unsafe. What a reviewer says that has
// judged all before is what a new one says.
func TestWarm(t *testing.T) {
	for dialect, write := range dialects {
		t.Run(dialect, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			set := objects.NewSet()
			over := func() *objects.Set { return set }
			warm := admission.New(admission.Options{Base: over, Timeout: time.Minute})
			found := 0
			for range 100 {
				others, route := write(random.IntN(4), 4, 10+random.IntN(80))
				text := append(others, route)[random.IntN(len(others)+1)]
				if random.IntN(3) == 0 {
					edit := breaks[random.IntN(len(breaks))]
					text = strings.Replace(text, edit.old, edit.now, 1+random.IntN(3))
				}
				req := request(t, []string{admission.Update, admission.Update, admission.Update, admission.Delete}[random.IntN(4)], text)
				req.DryRun = random.IntN(4) == 0
				got, err := warm.Review(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				want, err := admission.New(admission.Options{Base: over, Timeout: time.Minute}).Review(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(admission.Finding{})); diff != "" {
					t.Fatalf("%s of\n%s\n(-new +warm):\n%s", req.Operation, text, diff)
				}
				found += len(got.Findings)
				if got.Allowed && !req.DryRun {
					set = applied(t, set, req)
				}
			}
			if found == 0 {
				t.Error("nothing was found: the edits show nothing")
			}
		})
	}
}

func applied(t *testing.T, set *objects.Set, req admission.Request) *objects.Set {
	if req.Operation == admission.Delete {
		return set.Without(path(req))
	}
	data, err := objects.Render(req.Object)
	if err != nil {
		t.Fatal(err)
	}
	return set.With(path(req), data)
}
