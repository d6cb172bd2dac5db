package meshtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// Compare says how an observation differs from the evaluator's result: nothing
// where they agree. It judges one request; shares, tries and times have their own
// questions.
func Compare(want *reach.Result, got *Observation) []string {
	c := comparison{want: want, got: got}
	if got.Refused != "" {
		c.refused()
		return c.differences
	}
	c.access()
	c.answer()
	if want.Caller != nil {
		c.route()
	}
	if got.Received != nil {
		c.received()
	}
	return c.differences
}

type comparison struct {
	want        *reach.Result
	got         *Observation
	differences []string
}

func (c *comparison) differ(what string, want, got any) {
	c.differences = append(c.differences, fmt.Sprintf("%s: the evaluator says %v, Envoy %v", what, want, got))
}

// refused: a connection without an answer is a denial that has no status.
func (c *comparison) refused() {
	if c.want.Access.Decision != reach.Deny || c.want.Status != 0 && isHTTP(c.want) {
		c.differ("connection", outcome(c.want), c.got)
	}
}

func outcome(r *reach.Result) string {
	out := string(r.Access.Decision)
	if r.Status != 0 {
		out += fmt.Sprintf(" with status %d", r.Status)
	}
	return out
}

func (c *comparison) access() {
	switch c.want.Access.Decision {
	case reach.Allow:
		if !c.got.reached() && c.want.Route.Fault == nil {
			c.differ("access", reach.DecisionText(&c.want.Access, ""), c.got)
		}
	case reach.Deny:
		if c.got.reached() {
			c.differ("access", reach.DecisionText(&c.want.Access, ""), c.got)
		}
		c.deniedBy()
	default:
		if c.got.Received != nil {
			c.differ("destination", "none", c.got)
		}
	}
}

// deniedBy: Envoy names the policy that denied, "none" where none allowed.
func (c *comparison) deniedBy() {
	want := "none"
	if r := c.want.Access.Rule; r != nil && r.Action == mesh.Deny {
		want = r.ID
	}
	if policy, ok := c.got.policy(); ok && !c.got.deniedBy(want) {
		c.differ("rule that denies", want, policy)
	}
}

// reached says whether an application answered, be it that it cannot read the
// request.
func (o *Observation) reached() bool {
	return o.Received != nil || o.CalleeDetails == viaUpstream || o.Callee == "" && o.Details == viaUpstream
}

// policy is the name that the callee's RBAC gives for a denial, if it denied.
func (o *Observation) policy() (string, bool) {
	_, after, ok := strings.Cut(o.CalleeDetails, "rbac_access_denied_matched_policy[")
	return strings.TrimSuffix(after, "]"), ok
}

// deniedBy says whether RBAC denied by a rule. Envoy writes "_" for blanks.
func (o *Observation) deniedBy(rule string) bool {
	policy, ok := o.policy()
	return ok && policy == strings.ReplaceAll(rule, " ", "_")
}

// answers says whether the answer has a status of HTTP's. What a proxy answers to a
// call of gRPC is 200, and the status as gRPC says it.
func (o *Observation) answers(code uint32) bool {
	if in := o.Headers.Get("grpc-status"); in != "" && o.Status == http.StatusOK {
		return in == strconv.Itoa(int(grpcStatus(code)))
	}
	return int(code) == o.Status
}

// grpcStatus is Envoy's Grpc::Utility::httpToGrpcStatus.
func grpcStatus(code uint32) codes.Code {
	switch code {
	case http.StatusBadRequest:
		return codes.Internal
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.Unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return codes.Unavailable
	}
	return codes.Unknown
}

// answer judges what the caller's application sees.
func (c *comparison) answer() {
	if c.want.Status != 0 && !c.got.answers(c.want.Status) {
		c.differ("status", c.want.Status, c.got)
	}
	if location := c.got.Headers.Get("Location"); location != c.want.Route.Location && c.got.Received == nil {
		c.differ("location", c.want.Route.Location, location)
	}
	if body := c.want.Route.Body; body != "" && body != c.got.Body && c.want.Request.Method != http.MethodHead {
		c.differ("body", body, c.got.Body)
	}
}

// Names of what a caller's proxy does where no rule decides.
const (
	noRoute      = "-"
	unknownRoute = "unknown"
)

func (c *comparison) route() {
	want := noRoute
	switch {
	case c.want.Entry != nil && !isHTTP(c.want):
		return // of connections nobody tells the route
	case c.want.Entry != nil && c.want.Status == 421:
		want = "misdirected"
	case c.want.Route.Rule != nil:
		want = c.want.Route.Rule.ID
	case c.want.Port == nil && c.want.Status == 502:
		want = unknownRoute
	}
	got := c.got.Route
	if got == "" {
		got = noRoute
	}
	if got != want {
		c.differ("route", want, got)
	}
}

// received judges the request as the application got it.
func (c *comparison) received() {
	up, got := &c.want.Route.Upstream, c.got.Received
	destinations := c.want.Route.Destinations
	k := slices.IndexFunc(destinations, func(d reach.Destination) bool { return d.Percent > 0 && isBehind(d.Backend, got.Name) })
	if k < 0 {
		c.differ("destination", destinationNames(destinations), got.Name)
		return
	}
	if !isHTTP(c.want) {
		return
	}
	path, wantPath := got.Path, up.Path
	if got.Query != "" {
		path += "?" + got.Query
	} else {
		wantPath = strings.TrimSuffix(wantPath, "?")
	}
	// What a caller without a proxy sends is first normalized by the callee's.
	if c.want.Caller != nil && path != wantPath && path != merged(wantPath) && !normalizedTwice(wantPath) {
		c.differ("path at the destination", up.Path, path)
	}
	if got.Host != up.Host {
		c.differ("host at the destination", up.Host, got.Host)
	}
	headers := up.Headers
	if own := destinations[k].Headers; own != nil {
		headers = own
	}
	c.headers(headers)
}

// normalizedTwice is a path that the caller's proxy makes and the callee's makes
// another of: parameters of dot segments go before escapes and backslashes do.
func normalizedTwice(path string) bool {
	return strings.Contains(path, "/.;") || strings.Contains(path, "/..;")
}

// merged is a path that the caller's proxy makes of "//", which its merge of slashes
// leaves, as the callee's merge changes it.
func merged(path string) string {
	path, query, asked := strings.Cut(path, "?")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if asked {
		path += "?" + query
	}
	return path
}

// originalPath is Envoy's own header, which it sets when it rewrites.
const originalPath = "x-envoy-original-path"

func (c *comparison) headers(want map[string][]string) {
	got := c.got.Received.Headers
	for name, values := range want {
		if name == originalPath {
			continue
		}
		if have := strings.Join(got.Values(name), ","); have != strings.Join(values, ",") {
			c.differ("header "+name+" at the destination", fmt.Sprintf("%q", values), fmt.Sprintf("%q", have))
		}
	}
	for name := range c.want.Request.Headers {
		if _, kept := want[strings.ToLower(name)]; !kept && !strings.EqualFold(name, "host") && len(got.Values(name)) > 0 {
			c.differ("header "+name+" at the destination", "absent", got.Values(name))
		}
	}
}

// isBehind says whether an Echo of this name is one of a backend's.
func isBehind(b *check.Backend, name string) bool {
	if len(b.Workloads) == 0 {
		return b.Port.Service.Key() == name
	}
	return slices.ContainsFunc(b.Workloads, func(w *check.Workload) bool { return w.Key() == name })
}

func destinationNames(list []reach.Destination) string {
	var out []string
	for _, d := range list {
		name := d.Backend.Port.Service.Key()
		if d.Backend.Version != "" {
			name += " " + d.Backend.Version
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}
