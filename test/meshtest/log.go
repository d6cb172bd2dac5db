package meshtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// requestID tells a request in both proxies' access logs.
const requestID = "x-request-id"

// logTimeout bounds the wait for a line of the access log, which Envoy writes
// when the request is over.
const logTimeout = 10 * time.Second

// codecTimeout is the same after a 400: what the codec refuses has no id to find.
const codecTimeout = 300 * time.Millisecond

// serial numbers requests.
type serial struct{ atomic.Uint64 }

func (s *serial) next() string { return fmt.Sprintf("meshtest-%d-", s.Add(1)) }

// entry is what is read of a line of the access log.
type entry struct {
	RequestID string `json:"request_id"`
	Route     string `json:"route"`
	Details   string `json:"details"`
	Flags     string `json:"flags"`
	Cluster   string `json:"cluster"`
	Upstream  string `json:"upstream"` // address
	Peer      string `json:"peer"`     // SPIFFE id
}

// side is of which listener a line is; a workload that calls itself writes both.
type side string

const (
	inbound  side = "inbound|"
	outbound side = "outbound|"
)

// of reports whether a line can be of this side. A request that was refused early
// has neither route nor cluster.
func (s side) of(e *entry) bool {
	other := inbound
	if s == inbound {
		other = outbound
	}
	return !strings.HasPrefix(e.Route, string(other)) && !strings.HasPrefix(e.Cluster, string(other))
}

// logged waits for the line of a request.
func (i *instance) logged(ctx context.Context, by side, id string, within time.Duration) (entry, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var e entry
	err := envoytest.Until(ctx, func() error {
		var ok bool
		if e, ok = find(i.envoy.Log(), by, id); !ok {
			return fmt.Errorf("the access log of %s has no request %s", i.workload.Key(), id)
		}
		return nil
	})
	return e, err
}

// find returns the last whole line about a request; retries of a caller's proxy
// have several lines at the callee's.
func find(log string, by side, id string) (entry, bool) {
	for {
		at := strings.LastIndex(log, id)
		if at < 0 {
			return entry{}, false
		}
		start := strings.LastIndexByte(log[:at], '\n') + 1
		end := strings.IndexByte(log[at:], '\n')
		if end >= 0 {
			var e entry
			if json.Unmarshal([]byte(log[start:at+end]), &e) == nil && e.RequestID == id && by.of(&e) {
				return e, true
			}
		}
		log = log[:start]
	}
}
