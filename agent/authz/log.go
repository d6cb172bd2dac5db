package authz

import (
	"strings"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// A Decision is one entry of the log. It has no headers and no query, which is
// where secrets are.
type Decision struct {
	Time      time.Time     `json:"time"`
	Allow     bool          `json:"allow"`
	Rule      string        `json:"rule,omitempty"`
	Error     string        `json:"error,omitempty"`
	Principal string        `json:"principal,omitempty"`
	Method    string        `json:"method,omitempty"`
	Path      string        `json:"path,omitempty"`
	Port      uint32        `json:"port"`
	Took      time.Duration `json:"took"`
}

// Counts are the decisions since the start.
type Counts struct {
	Allowed, Denied, Failed uint64
}

const (
	logSize  = 256
	maxField = 256
)

// log keeps the newest decisions.
type log struct {
	mu     sync.Mutex
	ring   [logSize]Decision
	n      int
	counts Counts
}

func (l *log) add(d Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%logSize] = d
	l.n++
	switch {
	case d.Error != "":
		l.counts.Failed++
	case d.Allow:
		l.counts.Allowed++
	default:
		l.counts.Denied++
	}
}

// Decisions returns the newest decisions, oldest first.
func (s *Server) Decisions() []Decision {
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Decision, 0, logSize)
	for i := max(0, l.n-logSize); i < l.n; i++ {
		out = append(out, l.ring[i%logSize])
	}
	return out
}

// Counts returns how many requests were decided, and how.
func (s *Server) Counts() Counts {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.counts
}

func decision(in *authv3.AttributeContext, v verdict, err error, began time.Time) Decision {
	http := in.GetRequest().GetHttp()
	path, _, _ := strings.Cut(http.GetPath(), "?")
	d := Decision{
		Time: began, Took: time.Since(began), Allow: err == nil && v.allow, Rule: clip(v.rule),
		Principal: clip(in.GetSource().GetPrincipal()), Method: clip(http.GetMethod()), Path: clip(path),
		Port: in.GetDestination().GetAddress().GetSocketAddress().GetPortValue(),
	}
	if err != nil {
		d.Error = clip(err.Error())
	}
	return d
}

func clip(s string) string { return s[:min(len(s), maxField)] }
