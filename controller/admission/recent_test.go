package admission_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// stored is what an API server shows when it is asked for one object.
type stored struct {
	mu      sync.Mutex
	objects map[admission.Ref]*unstructured.Unstructured
}

func (s *stored) put(q admission.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[admission.Ref]*unstructured.Unstructured{}
	}
	s.objects[admission.Ref{Group: q.Group, Version: q.Version, Kind: q.Kind, Namespace: q.Namespace, Name: q.Name}] = q.Object
}

func (s *stored) get(_ context.Context, r admission.Ref) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.objects[r]; ok {
		return u, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: r.Group}, r.Name)
}

// routed is a route of the service catalog with a name.
func routed(t *testing.T, name string) admission.Request {
	return request(t, admission.Create, strings.Replace(route("[{service: catalog}]"), "name: catalog,", "name: "+name+",", 1))
}

// TestForged: reviews of writes that nobody made, as any pod can send them, refuse
// nobody's.
func TestForged(t *testing.T) {
	base := with(t, objects.NewSet(), object(t, workload))
	server := &stored{}
	r := admission.New(admission.Options{Base: func() *objects.Set { return base }, Live: server.get})
	if v, err := r.Review(t.Context(), routed(t, "phantom")); err != nil || !v.Allowed {
		t.Fatalf("the first route of a service: %s %v", v.Message, err)
	}
	real := routed(t, "catalog")
	if v, err := r.Review(t.Context(), real); err != nil || !v.Allowed {
		t.Fatalf("a route is refused for one that is not there: %s %v", v.Message, err)
	}
	server.put(real)
	if v, err := r.Review(t.Context(), routed(t, "second")); err != nil || v.Allowed {
		t.Fatalf("a second route of a service is admitted: %v", err)
	}
}

// TestStoredLater: a write that is on its way into the store counts against others.
func TestStoredLater(t *testing.T) {
	base := with(t, objects.NewSet(), object(t, workload))
	server := &stored{}
	r := admission.New(admission.Options{Base: func() *objects.Set { return base }, Live: server.get})
	oneOf(t, r, 4, func(q admission.Request) {
		time.AfterFunc(20*time.Millisecond, func() { server.put(q) }) // what the API server has yet to do
	})
}

// TestRecentBounded: reviews without a write fill no memory.
func TestRecentBounded(t *testing.T) {
	n, bytes := admission.Remembered(admission.MaxRecent+50, 100)
	if n != admission.MaxRecent || bytes != n*100 {
		t.Errorf("%d small objects of %d bytes are remembered, want %d", n, bytes, admission.MaxRecent)
	}
	n, bytes = admission.Remembered(100, 1<<20)
	if bytes > admission.MaxRecentBytes || bytes != n<<20 {
		t.Errorf("%d large objects of %d bytes are remembered, want at most %d", n, bytes, admission.MaxRecentBytes)
	}
}

// TestUnmasked: an object in error lets no other contradict it.
func TestUnmasked(t *testing.T) {
	decoy := strings.Replace(route("[{service: catalog, weight: 900}]"), "name: catalog,", "name: decoy,", 1)
	last := strings.Replace(decoy, "decoy", "zdecoy", 1)
	for _, d := range []string{decoy, last} {
		base := with(t, with(t, objects.NewSet(), object(t, workload)), object(t, d))
		r := admission.New(admission.Options{Base: func() *objects.Set { return base }})
		v, err := r.Review(t.Context(), routed(t, "catalog"))
		t.Logf("allowed %t %v %s %q", v.Allowed, err, v.Message, v.Warnings)
		if err != nil || v.Allowed {
			t.Errorf("a route that contradicts another is admitted: %v", err)
		}
	}
}

// TestStarve: a stream of small writes keeps no other from its verdict.
func TestStarve(t *testing.T) {
	for _, c := range []struct{ name, old, now string }{
		{"that mean something", "name: all", "name: all%d"},
		{"that mean nothing", "namespace: shop}", "namespace: shop, annotations: {istio.io/n: \"%d\"}}"},
	} {
		t.Run(c.name, func(t *testing.T) { starve(t, c.old, c.now) })
	}
}

// starve has a small write reviewed in the midst of each attempt at another.
func starve(t *testing.T, old, now string) {
	set := with(t, with(t, objects.NewSet(), object(t, workload)), object(t, route("[{service: catalog}]")))
	var r *admission.Reviewer
	var i, nested int
	r = admission.New(admission.Options{Timeout: time.Minute, Base: func() *objects.Set {
		if nested++; nested > 1 {
			return set
		}
		defer func() { nested = 0 }()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // it waits where the other has the turn
		defer cancel()
		i++
		_, _ = r.Review(ctx, request(t, admission.Update, strings.Replace(route("[{service: catalog}]"), old, fmt.Sprintf(now, i), 1)))
		return set
	}})
	v, err := r.Review(t.Context(), request(t, admission.Create, strings.ReplaceAll(workload, "catalog", "extra")))
	if err != nil || !v.Allowed {
		t.Errorf("allowed %t: %s %v", v.Allowed, v.Message, err)
	}
	if again := strings.Contains(old, "name: all"); again != (i > 1) {
		t.Errorf("judged %d times", i)
	}
}
