package xds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// A Snapshot is what a release says for one proxy.
type Snapshot struct {
	Name      string // of the release, for messages and Envoy's version_info
	Clusters  []Resource
	Listeners []Resource
	Routes    []Resource
}

func (s Snapshot) sets() sets {
	return sets{
		ClusterType:  newSet(ClusterType, s.Clusters),
		ListenerType: newSet(ListenerType, s.Listeners),
		RouteType:    newSet(RouteType, s.Routes),
	}
}

// sets are the signed types of one snapshot.
type sets map[string]set

// A TimeoutError is a change that Envoy neither refused nor finished.
type TimeoutError struct {
	Step    string
	Waiting string
}

// Error implements error.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("waiting for envoy to take %s: %s", e.Step, e.Waiting)
}

// Install serves a snapshot at once, without an order. It is for an Envoy that
// has just started or that already has these resources.
func (s *Server) Install(snap Snapshot) {
	s.begin(snap.Name)
	for typeURL, next := range snap.sets() {
		s.replace(typeURL, next)
	}
}

// Apply moves the connected Envoy to snap and returns when every type is
// acknowledged and warm. What snap no longer has stays for the grace that the
// options give, and [Server.Prune] removes it. If Envoy refuses a resource (the
// error is a [*RefusedError]) or does not finish in time ([*TimeoutError]), the
// content from before is served again; the returned error then also says if
// that went wrong.
func (s *Server) Apply(ctx context.Context, snap Snapshot) error {
	s.begin(snap.Name)
	if err := s.await(ctx, "the change", s.hasConn); err != nil {
		return err
	}
	before := s.current()
	err := s.advance(ctx, before, snap.sets())
	if err == nil || ctx.Err() != nil {
		return err
	}
	if back := s.goBack(ctx, before); back != nil {
		return errors.Join(err, fmt.Errorf("returning to what was served before: %w", back))
	}
	return err
}

// begin starts a change: refusals from now on are its own.
func (s *Server) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.version, s.refusal = fmt.Sprintf("%s/%d", name, s.changes), nil
}

func (s *Server) current() sets {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := sets{}
	for _, t := range []string{ClusterType, ListenerType, RouteType} {
		out[t] = s.types[t].served
	}
	return out
}

// advance makes before it breaks. Listeners leave with the step that brings
// the new ones, because two may follow each other on one address: Envoy drains
// those that go.
func (s *Server) advance(ctx context.Context, before, next sets) error {
	s.replace(ClusterType, next[ClusterType].over(before[ClusterType]))
	if err := s.settle(ctx, "clusters"); err != nil {
		return err
	}
	s.mu.Lock()
	s.put(RouteType, next[RouteType].over(before[RouteType]))
	s.put(ListenerType, next[ListenerType])
	s.mu.Unlock()
	if err := s.settle(ctx, "listeners and routes"); err != nil {
		return err
	}
	s.retire(next)
	return nil
}

// goBack serves the earlier sets, in the reverse order.
func (s *Server) goBack(ctx context.Context, before sets) error {
	s.begin("back")
	s.mu.Lock()
	s.put(RouteType, before[RouteType].over(s.types[RouteType].served))
	s.put(ListenerType, before[ListenerType])
	s.mu.Unlock()
	if err := s.settle(ctx, "listeners and routes"); err != nil {
		return err
	}
	s.replace(RouteType, before[RouteType])
	s.replace(ClusterType, before[ClusterType])
	return s.settle(ctx, "clusters")
}

// retire marks what next no longer has.
func (s *Server) retire(next sets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := time.Now().Add(s.options.Grace)
	for _, t := range []string{ClusterType, RouteType} {
		leaving := map[string]time.Time{}
		for name := range s.types[t].served {
			if _, stays := next[t][name]; stays {
				continue
			}
			leaving[name] = end
			if earlier, ok := s.leaving[t][name]; ok {
				leaving[name] = earlier
			}
		}
		s.leaving[t] = leaving
	}
}

// Prune removes what has been leaving for long enough by now, and returns when
// to call again, which is zero when nothing is leaving.
func (s *Server) Prune(now time.Time) (again time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range []string{RouteType, ClusterType} {
		kept := maps.Clone(s.types[t].served)
		for name, end := range s.leaving[t] {
			if end.After(now) {
				if again.IsZero() || end.Before(again) {
					again = end
				}
				continue
			}
			delete(kept, name)
			delete(s.leaving[t], name)
		}
		if len(kept) < len(s.types[t].served) {
			s.put(t, kept)
		}
	}
	return again
}
