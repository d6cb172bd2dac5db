package reach

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Result is what happens to a request.
type Result struct {
	Request Request
	Caller  *check.Workload // whose proxy routes the request; nil: no workload of this mesh
	Entry   *Entry          // of a request from outside that arrives at a gateway
	Port    *check.Port     // that the request is for; nil: none that the caller may reach
	Route   Route
	Access  Access
	// Status that the caller's application sees where a proxy answers; 0 where
	// the destination does.
	Status uint32
	// Reason says why a request got nowhere, for people.
	Reason string
}

// Evaluator answers requests on one checked mesh. It is safe for concurrent use.
type Evaluator struct {
	mesh  *check.Mesh
	hosts *hosts
	judge
}

// New returns an evaluator of m.
func New(m *check.Mesh) *Evaluator {
	return &Evaluator{mesh: m, hosts: newHosts(m), judge: judge{newPatterns(), m.Settings().TrustDomain}}
}

// Evaluate answers one request. New and Evaluator.Evaluate answer many.
func Evaluate(m *check.Mesh, r Request) (Result, error) { return New(m).Evaluate(r) }

// Evaluate follows a request from the caller's proxy to the callee's. It fails
// where the question itself makes no sense: an unknown workload, a To that is no
// host and port.
func (e *Evaluator) Evaluate(r Request) (Result, error) {
	out := Result{Request: r, Access: Access{Decision: NotAsked}}
	client, who, err := e.caller(&r)
	if err != nil {
		return out, err
	}
	host, number, ok := splitHostPort(r.To)
	if !ok {
		return out, fmt.Errorf("destination %q: want host:port", r.To)
	}
	m := newMessage(&r)
	if r.Gateway != "" {
		return e.entered(out, who, host, number, m)
	}
	out.Caller = client
	if client == nil {
		return e.unrouted(out, who, host, number, m), nil
	}
	return e.routed(out, who, host, number, m), nil
}

func (e *Evaluator) caller(r *Request) (*check.Workload, *caller, error) {
	who := &caller{peer: r.Peer, client: r.Client}
	if !who.client.IsValid() {
		who.client = who.peer
	}
	switch {
	case r.From == "" || r.From == NoIdentity:
		return nil, who, nil
	case strings.HasPrefix(r.From, "spiffe://"):
		who.identity = r.From
		return nil, who, nil
	}
	w := e.mesh.Workload(r.From)
	if w == nil {
		return nil, nil, fmt.Errorf("caller %q: no such workload", r.From)
	}
	who.identity = w.Identity
	return w, who, nil
}

// routed is a request through the caller's own sidecar.
func (e *Evaluator) routed(out Result, who *caller, host string, number uint32, m *message) Result {
	port := e.inScope(out.Caller, host, number)
	out.Port = port
	// A host that is out of scope is a route like others, unless it goes anywhere.
	if port == nil && !reachesAnything(out.Caller) || port != nil && port.Protocol.IsHTTP() {
		if reason := m.normalize(e.mesh.Settings()); reason != "" {
			return out.refused(400, reason)
		}
	}
	if port == nil {
		return e.outOfScope(out, host, number)
	}
	out.Route = e.route(port, out.Caller, m)
	out.Status, out.Reason = out.Route.Status, out.Route.Reason
	if out.Route.Action == ActionRoute {
		out.Access = e.callees(out.Route.Destinations, who, m)
		out = out.denied()
	}
	return out
}

// unrouted is a caller without a sidecar of ours: no route applies, and the
// request goes straight to any endpoint of the service.
func (e *Evaluator) unrouted(out Result, who *caller, host string, number uint32, m *message) Result {
	out.Port = e.anywhere(host, number)
	if out.Port == nil {
		return out.refused(0, fmt.Sprintf("no service of the mesh is called %s with port %d", host, number))
	}
	out.Route = Route{Action: ActionNone, Reason: "the caller has no sidecar: no route applies"}
	b := out.Port.Backend("")
	if b == nil {
		return out
	}
	out.Route.Destinations = []Destination{{Backend: b, Percent: 100}}
	out.Route.Upstream = Upstream{Path: m.pathAndQuery(), Host: m.authority, Headers: m.headers}
	out.Access = e.callees(out.Route.Destinations, who, m)
	return out.denied()
}

func (r Result) refused(status uint32, reason string) Result {
	r.Status, r.Reason = status, reason
	r.Route = Route{Action: ActionNone, Status: status, Reason: reason}
	return r
}

func (r Result) denied() Result {
	if r.Access.Decision == Deny {
		r.Status, r.Reason = r.Access.Status, r.Access.Reason
	}
	return r
}

// statusOutOfScope is what the outbound listener answers for hosts that it does
// not know.
const statusOutOfScope = 502

func (e *Evaluator) outOfScope(out Result, host string, number uint32) Result {
	if reachesAnything(out.Caller) {
		out.Reason = fmt.Sprintf("%s:%d is no service in scope of %s, which may reach any address", host, number, out.Caller.Key())
		out.Route = Route{Action: ActionNone, Reason: out.Reason}
		return out
	}
	return out.refused(statusOutOfScope, fmt.Sprintf("%s:%d is not in scope of %s", host, number, out.Caller.Key()))
}

// reachesAnything: a proxy that is asked explicitly learns no original
// destination, and so cannot go anywhere that it has no route to.
func reachesAnything(client *check.Workload) bool {
	return client.AllowAnyEgress && client.Capture == mesh.CaptureRedirect
}

// inScope finds the port among the services that the client uses.
func (e *Evaluator) inScope(client *check.Workload, host string, number uint32) *check.Port {
	for _, s := range e.hosts.named(host, client.Namespace) {
		if uses(client, s) {
			if p := s.Port(number); p != nil {
				return p
			}
		}
	}
	return nil
}

func uses(client *check.Workload, s *check.Service) bool {
	return slices.ContainsFunc(client.Uses, func(u *check.Service) bool { return u.Key() == s.Key() })
}

func (e *Evaluator) anywhere(host string, number uint32) *check.Port {
	for _, s := range e.hosts.named(host, "") {
		if p := s.Port(number); p != nil {
			return p
		}
	}
	return nil
}

// callees asks every workload behind the destinations. Where they differ the
// whole is denied: some of the requests are.
func (e *Evaluator) callees(to []Destination, who *caller, m *message) Access {
	var asked []WorkloadAccess
	for i := range to {
		seen := m
		if to[i].Headers != nil {
			seen = m.clone()
			seen.headers = to[i].Headers
		}
		if to[i].Percent > 0 {
			asked = append(asked, e.backend(to[i].Backend, who, seen)...)
		}
	}
	if len(asked) == 0 {
		return Access{Decision: Allow, Reason: "no workload of the mesh is behind the destination"}
	}
	worst := 0
	for i := range asked {
		if asked[i].Decision == Deny && asked[worst].Decision != Deny {
			worst = i
		}
	}
	whole := asked[worst].Access
	whole.Workloads = asked
	return whole
}

func (e *Evaluator) backend(b *check.Backend, who *caller, m *message) []WorkloadAccess {
	out := make([]WorkloadAccess, 0, len(b.Workloads))
	for _, w := range b.Workloads {
		out = append(out, WorkloadAccess{Workload: w, Backend: b, Access: e.inbound(w, b, who, m)})
	}
	return out
}

// inbound is the callee's proxy: handshake, normalization, then access rules.
func (e *Evaluator) inbound(w *check.Workload, b *check.Backend, who *caller, m *message) Access {
	in := inboundOf(w, b.Port)
	if in == nil {
		return Access{Decision: Allow, Reason: fmt.Sprintf("%s has no proxy in front of port %d", w.Key(), b.Port.Number)}
	}
	seen, reason := handshake(in, b, who)
	if reason != "" {
		return refusedConnection(reason, who)
	}
	if !in.Protocol.IsHTTP() {
		return e.decide(&in.Access, seen, nil)
	}
	m = m.clone()
	if reason := m.normalize(e.mesh.Settings()); reason != "" {
		a := Access{}.because(Deny, reason, w.Origin.Span)
		a.Status = 400
		return a
	}
	return e.decide(&in.Access, seen, m)
}

func inboundOf(w *check.Workload, p *check.Port) *check.Inbound {
	for _, in := range w.Inbound {
		for _, leads := range in.Services {
			if leads.Number == p.Number && leads.Service.Key() == p.Service.Key() {
				return in
			}
		}
	}
	return nil
}

// handshake says as whom the callee sees the caller, or why there is no
// connection.
func handshake(in *check.Inbound, b *check.Backend, who *caller) (*caller, string) {
	withTLS := who.identity != "" && b.TLS == check.TLSMesh
	switch {
	case in.MTLS == mesh.MTLSStrict && who.identity == "":
		return nil, "the caller has no identity: refused at the handshake (mTLS strict)"
	case in.MTLS == mesh.MTLSStrict && !withTLS:
		return nil, "the caller's proxy speaks plaintext: refused at the handshake (mTLS strict)"
	case in.MTLS == mesh.MTLSDisable && withTLS:
		return nil, "the caller's proxy speaks TLS to a port that takes plaintext only (mTLS disable)"
	case !withTLS:
		return &caller{peer: who.peer, client: who.client}, ""
	}
	return who, ""
}

// refusedConnection is a 503 of the caller's proxy; a caller without one sees
// its connection closed.
func refusedConnection(reason string, who *caller) Access {
	a := Access{Decision: Deny, Reason: reason}
	if who.identity != "" {
		a.Status = 503
	}
	return a
}
