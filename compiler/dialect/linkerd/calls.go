package linkerd

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

const (
	retryHTTP       = "retry.linkerd.io/http"
	retryGRPC       = "retry.linkerd.io/grpc"
	retryLimit      = "retry.linkerd.io/limit"
	retryTimeout    = "retry.linkerd.io/timeout"
	timeoutRequest  = "timeout.linkerd.io/request"
	timeoutResponse = "timeout.linkerd.io/response"
	timeoutIdle     = "timeout.linkerd.io/idle"

	accrual        = "balancer.linkerd.io/failure-accrual"
	accrualMax     = accrual + "-consecutive-max-failures"
	accrualMinimum = accrual + "-consecutive-min-penalty"
	accrualMaximum = accrual + "-consecutive-max-penalty"
	accrualJitter  = accrual + "-consecutive-jitter-ratio"
)

// ofService reads how clients call a Service where no route says otherwise.
func (t *translator) ofService(n *load.Node, f *mesh.Fragment) {
	if len(f.Services) == 0 {
		return
	}
	out, response := t.calls(n)
	out.Timeout = shorter(out.Timeout, response)
	if out != (mesh.Calls{}) {
		f.Services[0].Calls = &out
	}
	t.failureAccrual(n, f)
}

// ofRoute reads the same of a route, for each of its rules. The annotation about the
// request takes priority over the rule's own timeouts (Linkerd, "Configuring Timeouts").
func (t *translator) ofRoute(n *load.Node, f *mesh.Fragment) {
	if len(f.Routes) == 0 {
		if len(f.ServerRoutes) > 0 {
			t.unused(n)
		}
		return
	}
	calls, response := t.calls(n)
	for _, r := range f.Routes[0].Rules {
		if r.Redirect != nil || r.Respond != nil {
			continue
		}
		if calls.Timeout != nil {
			r.Timeout = calls.Timeout
		}
		r.Timeout = shorter(r.Timeout, response)
		if calls.IdleTimeout != nil {
			r.IdleTimeout = calls.IdleTimeout
		}
		if calls.Retry != nil {
			r.Retry = calls.Retry
		}
	}
}

// unused reports annotations of a route that is for Servers alone: what they say is the
// caller's proxy's business.
func (t *translator) unused(n *load.Node) {
	for _, entry := range n.Fields {
		if a, known := annotations[entry.Key]; known && slices.Contains(a.of, t.Kind) {
			t.Warn(entry.KeySpan, "the annotation %s has no effect on a route whose parent is a Server", entry.Key)
		}
	}
}

// calls reads the annotations about calls, the timeout of the response apart: there is
// one response, so that it bounds what the request's does.
func (t *translator) calls(n *load.Node) (out mesh.Calls, response *mesh.Timeout) {
	out = mesh.Calls{Retry: t.retryAnnotations(n), IdleTimeout: t.Duration(n, timeoutIdle, time.Millisecond)}
	if request := t.Duration(n, timeoutRequest, 0); request != nil {
		out.Timeout = &mesh.Timeout{Value: *request, Span: t.At(n, timeoutRequest)}
	}
	within := t.Duration(n, timeoutResponse, 0)
	if within == nil || *within == 0 {
		return out, nil
	}
	if out.Retry != nil {
		d := t.Unsupported(t.At(n, timeoutResponse), "the annotation %s beside retries is not supported", timeoutResponse)
		d.SetFix("write " + retryTimeout + " for one try and " + timeoutRequest + " for all of them")
		return out, nil
	}
	return out, &mesh.Timeout{Value: *within, Span: t.At(n, timeoutResponse)}
}

// shorter is the shorter of two timeouts, of which either may be absent; 0 is none.
func shorter(a, b *mesh.Timeout) *mesh.Timeout {
	if b == nil || a != nil && a.Value != 0 && a.Value <= b.Value {
		return a
	}
	return b
}

// retryAnnotations: one retry of a 5xx unless they say otherwise
// (policy-controller, RouteRetry).
func (t *translator) retryAnnotations(n *load.Node) *mesh.Retry {
	r := &mesh.Retry{Attempts: 1, PerTry: t.Duration(n, retryTimeout, time.Millisecond)}
	for _, key := range []string{retryHTTP, retryGRPC, retryLimit, retryTimeout} {
		if !slices.Contains(annotations[key].of, t.Kind) {
			continue // which is reported
		}
		if v := n.Get(key); v != nil && v.Kind == load.String && r.Span == (source.Span{}) {
			r.Span = v.Span
		}
	}
	if r.Span == (source.Span{}) {
		return nil
	}
	if v := n.Get(retryLimit); v != nil && v.Kind == load.String {
		limit, err := strconv.ParseUint(v.Text, 10, 16)
		if err != nil || limit == 0 {
			t.Wrong(v.Span, "%s %q: want 1 to 65535", retryLimit, v.Text)
		} else {
			r.Attempts = uint32(limit)
		}
	}
	t.retryHTTP(n, r)
	for _, word := range t.listed(n, retryGRPC) {
		if !slices.Contains([]string{"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}, word) {
			t.Wrong(t.At(n, retryGRPC), "%s %q: want cancelled, deadline-exceeded, internal, resource-exhausted or unavailable", retryGRPC, word)
			continue
		}
		r.Conditions = append(r.Conditions, word)
	}
	if len(r.Conditions)+len(r.Statuses) == 0 {
		r.Conditions = []string{"5xx"}
	}
	return r
}

func (t *translator) retryHTTP(n *load.Node, r *mesh.Retry) {
	for _, word := range t.listed(n, retryHTTP) {
		first, last, ok := numbers(word, status)
		switch {
		case word == "5xx" || word == "gateway-error":
			r.Conditions = append(r.Conditions, word)
		case !ok:
			t.Wrong(t.At(n, retryHTTP), "%s %q: want a status such as 504, a range such as 500-504, gateway-error or 5xx", retryHTTP, word)
		default:
			for s := first; s <= last; s++ {
				r.Statuses = append(r.Statuses, s)
			}
		}
	}
}

func status(s string) (uint32, bool) {
	number, err := strconv.ParseUint(s, 10, 16)
	return uint32(number), err == nil && 100 <= number && number <= 599
}

// listed are the words of an annotation that the document's kind may have.
func (t *translator) listed(n *load.Node, key string) []string {
	v := n.Get(key)
	if v == nil || v.Kind != load.String || !slices.Contains(annotations[key].of, t.Kind) {
		return nil
	}
	var out []string
	for word := range strings.SplitSeq(v.Text, ",") {
		out = append(out, strings.ToLower(strings.TrimSpace(word)))
	}
	return out
}

// failureAccrual takes endpoints out after failures in a row, all of them if need be
// (Linkerd, circuit breaking). Envoy lets them in again by time and not by a probe.
func (t *translator) failureAccrual(n *load.Node, f *mesh.Fragment) {
	v := n.Get(accrual)
	if v == nil || v.Kind != load.String {
		return
	}
	if v.Text != "consecutive" {
		t.Wrong(v.Span, "%s %q: want consecutive", accrual, v.Text)
		return
	}
	failures, all, none := uint32(7), uint32(100), uint32(0)
	if v := n.Get(accrualMax); v != nil && v.Kind == load.String {
		number, err := strconv.ParseUint(v.Text, 10, 32)
		if err != nil || number == 0 {
			t.Wrong(v.Span, "%s %q: want 1 or more", accrualMax, v.Text)
		} else {
			failures = uint32(number)
		}
	}
	low, high := penalty(t.Duration(n, accrualMinimum, time.Millisecond), time.Second), penalty(t.Duration(n, accrualMaximum, time.Millisecond), time.Minute)
	if *low > *high {
		t.Wrong(t.At(n, accrualMinimum), "%s %s is longer than the longest, %s", accrualMinimum, *low, *high)
		return
	}
	if v := n.Get(accrualJitter); v != nil {
		t.Warn(v.Span, "%s has no effect: endpoints come back without jitter", accrualJitter)
	}
	service := f.Services[0]
	interval := time.Second
	f.TrafficPolicies = append(f.TrafficPolicies, &mesh.TrafficPolicy{
		Origin: t.Origin, Target: mesh.Ref{Name: service.Name, Namespace: service.Namespace, Span: v.Span},
		TrafficSettings: mesh.TrafficSettings{OutlierDetection: &mesh.OutlierDetection{
			Consecutive5xx: &failures, Interval: &interval, BaseEjectionTime: low, MaxEjectionTime: high,
			MaxEjectionPercent: &all, MinHealthPercent: &none, Span: v.Span,
		}},
	})
}

func penalty(written *time.Duration, otherwise time.Duration) *time.Duration {
	if written != nil {
		return written
	}
	return &otherwise
}
