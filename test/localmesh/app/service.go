package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// service is the public side: what callers reach through the sidecar.
type service struct {
	name, version string

	mu    sync.Mutex
	count map[string]int // by "METHOD path"
	tries map[string]int // by x-try-key
}

func newService(name, version string) *service {
	return &service{name: name, version: version, count: map[string]int{}, tries: map[string]int{}}
}

// answer is the body of every response.
type answer struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Path    string `json:"path"`
}

// ServeHTTP answers after what real services do now and then, asked for by the
// request: query "delay" (a duration) makes it slow, and "fail=N" with a "key"
// fails the first N tries of that key with 503, a transient failure.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	try := s.record(r)
	q := r.URL.Query()
	if d, err := time.ParseDuration(q.Get("delay")); err == nil {
		select {
		case <-time.After(min(d, 10*time.Second)):
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("content-type", "application/json")
	if n, err := strconv.Atoi(q.Get("fail")); err == nil && try <= n {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer{s.name, s.version, r.URL.Path})
}

// record counts the request and returns the number of the try of its key.
func (s *service) record(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[r.Method+" "+r.URL.Path]++
	key := r.URL.Query().Get("key")
	if key == "" || len(s.tries) > 1<<16 {
		return 1
	}
	s.tries[r.Method+key]++
	return s.tries[r.Method+key]
}

// counts returns how often each method and path was received.
func (s *service) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.count))
	for k, v := range s.count {
		out[k] = v
	}
	return out
}
