package check

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Mesh is the checked mesh: every name resolved, every default explicit. Only
// Run makes one. It and all that hangs off it is immutable.
type Mesh struct {
	settings   Settings
	services   []*Service
	workloads  []*Workload
	tests      []*mesh.Test
	invariants []*mesh.Invariant
	waivers    []*mesh.Waiver
	state      *state // for the next run
}

// Settings of the mesh.
type Settings struct {
	TrustDomain    string
	ClusterDomain  string       // "cluster.local"
	Defaults       mesh.Dialect // native, istio or linkerd
	AllowAnyEgress bool
	TrustBundle    string   // PEM X.509 roots; "" where the controller provides them
	EndpointCIDRs  []string // where live endpoints may be; nil: anywhere but the refused ranges
	// MergeSlashes and RejectEscapedSlashes are Envoy's path normalization beyond
	// normalize_path, which is always on (CVE-2021-29492).
	MergeSlashes         bool
	RejectEscapedSlashes bool
}

// Settings returns the mesh-wide settings.
func (m *Mesh) Settings() *Settings { return &m.settings }

// Services returns all services by namespace and name.
func (m *Mesh) Services() []*Service { return m.services }

// Workloads returns all workloads by namespace and name.
func (m *Mesh) Workloads() []*Workload { return m.workloads }

// Service finds "namespace/name".
func (m *Mesh) Service(key string) *Service {
	namespace, name, _ := strings.Cut(key, "/")
	i, ok := slices.BinarySearchFunc(m.services, key, func(s *Service, _ string) int {
		return cmp.Or(cmp.Compare(s.Namespace, namespace), cmp.Compare(s.Name, name))
	})
	if !ok {
		return nil
	}
	return m.services[i]
}

// Workload finds "namespace/name".
func (m *Mesh) Workload(key string) *Workload {
	if i, ok := m.WorkloadIndex(key); ok {
		return m.workloads[i]
	}
	return nil
}

// WorkloadIndex is the place of "namespace/name" in Workloads.
func (m *Mesh) WorkloadIndex(key string) (int, bool) {
	return slices.BinarySearchFunc(m.workloads, key, func(w *Workload, key string) int { return cmp.Compare(w.key, key) })
}

// Server is the value to which services point of a workload of Workloads.
func (m *Mesh) Server(i int) *Workload { return m.state.nodes[i].server }

// Tests returns the PolicyTests.
func (m *Mesh) Tests() []*mesh.Test { return m.tests }

// Invariants returns the Invariants.
func (m *Mesh) Invariants() []*mesh.Invariant { return m.invariants }

// Waivers returns the accepted diagnostics.
func (m *Mesh) Waivers() []*mesh.Waiver { return m.waivers }

// Service is a destination that clients name: a Kubernetes Service, the service
// of a MeshWorkload, an external service, or a host that only a route defines.
type Service struct {
	Origin          mesh.Origin
	Namespace, Name string
	// Hosts are the names valid in every namespace, most specific last:
	// "catalog.shop", "catalog.shop.svc", "catalog.shop.svc.cluster.local". Within
	// Namespace the bare Name is valid too, where ShortName is set. An external
	// service has its hosts, which may start with "*.".
	Hosts     []string
	ShortName bool
	Ports     []*Port // by number
	External  *mesh.External
	// Assumed services exist elsewhere; Virtual ones are only a host of a route.
	Assumed, Virtual bool
	// Meshed is set where the service's workloads have our proxies.
	Meshed bool
	// Workloads, like those of a Backend, are the server side of workloads: all
	// but Uses, which is only set in the values that Mesh.Workloads lists. Without
	// the two sides every service would reach every other, and none could be
	// taken over by the next run. Compare workloads by Key; Inbound is shared.
	Workloads []*Workload
	// VisibleTo are the namespaces that may have it in scope; nil: all.
	VisibleTo []string

	key string
}

// Key is "namespace/name".
func (s *Service) Key() string { return s.key }

// Port finds a port by number.
func (s *Service) Port(number uint32) *Port {
	i, ok := slices.BinarySearchFunc(s.Ports, number, func(p *Port, n uint32) int { return cmp.Compare(p.Number, n) })
	if !ok {
		return nil
	}
	return s.Ports[i]
}

// Port of a service, with its route table and its backends.
type Port struct {
	Service  *Service
	Number   uint32
	Name     string
	Protocol mesh.Protocol
	// Rules are tried in order; the first match wins; no match is 404. HTTP ports
	// always have at least the default rule unless a route says not-found. TCP
	// ports have exactly one rule without matches.
	Rules []*Rule
	// Backends by version; the first, "", is all of the service. External,
	// assumed and virtual services may have none.
	Backends []*Backend
	// Gateway is set in the route table of a gateway's listener: "namespace/name".
	Gateway string
}

// Backend finds a version's backend.
func (p *Port) Backend(version string) *Backend {
	for _, b := range p.Backends {
		if b.Version == version {
			return b
		}
	}
	return nil
}

// Rule is a checked routing rule.
type Rule struct {
	ID   string // also Envoy's route name
	Name string
	Span source.Span
	// Default is set for the rule that stands for "the service itself".
	Default bool
	Origin  mesh.Origin

	// Matches is never empty; a zero Match matches everything. Match.Ports is
	// already decided.
	Matches []mesh.Match

	// Exactly one of To, Redirect, Respond.
	To       []Destination
	Redirect *mesh.Redirect
	Respond  *mesh.Respond

	Rewrite         *mesh.Rewrite
	RequestHeaders  *mesh.HeaderOps
	ResponseHeaders *mesh.HeaderOps
	Timeout         time.Duration  // of the whole request; 0: none
	TimeoutAt       source.Span    // where Timeout is written; zero for a default
	IdleTimeout     *time.Duration // stream idle; nil: the listener's default
	MaxStream       *time.Duration
	// Retry is nil where there is none. Conditions and Methods are explicit; nil
	// Methods are all; without PerTry a try may take all of Timeout.
	Retry   *mesh.Retry
	Fault   *mesh.Fault
	Mirrors []MirrorTo
	CORS    *mesh.CORS
	Sticky  *mesh.Sticky
}

// TotalWeight sums the destinations' weights; at least 1 where To is set.
func (r *Rule) TotalWeight() uint32 {
	var total uint32
	for i := range r.To {
		total += r.To[i].Weight
	}
	return total
}

// MatchesFor returns the matches that exist for a client, nil where the rule
// does not. A nil client is a caller without a workload: it meets only matches
// that do not ask who calls.
func (r *Rule) MatchesFor(client *Workload) []mesh.Match {
	if !r.AsksCaller() {
		return r.Matches
	}
	kept := make([]mesh.Match, 0, len(r.Matches))
	for _, m := range r.Matches {
		if callerMatches(m.From, client) {
			kept = append(kept, m)
		}
	}
	return kept
}

// AsksCaller reports whether a match is for some callers only.
func (r *Rule) AsksCaller() bool {
	for i := range r.Matches {
		if len(r.Matches[i].From) > 0 {
			return true
		}
	}
	return false
}

func callerMatches(from []mesh.Caller, client *Workload) bool {
	if len(from) == 0 {
		return true
	}
	return client != nil && slices.ContainsFunc(from, client.isCaller)
}

func (w *Workload) isCaller(c mesh.Caller) bool {
	if len(c.Namespaces) > 0 && !slices.Contains(c.Namespaces, w.Namespace) {
		return false
	}
	if len(c.ServiceAccounts) > 0 && !slices.ContainsFunc(c.ServiceAccounts, func(a mesh.AccountRef) bool {
		return a.Name == w.ServiceAccount && (a.Namespace == "" || a.Namespace == w.Namespace)
	}) {
		return false
	}
	return Selects(c.Labels, w.Labels)
}

// Selects reports whether all of selector's labels are in labels. A nil or
// empty selector selects everything.
func Selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Destination is a weighted backend. Weight is at least 1.
type Destination struct {
	Backend         *Backend
	Weight          uint32
	RequestHeaders  *mesh.HeaderOps
	ResponseHeaders *mesh.HeaderOps
	Span            source.Span
}

// MirrorTo is a backend that receives a copy of Percent of the requests.
type MirrorTo struct {
	Backend *Backend
	Percent float64
}

// Backend is what becomes one Envoy cluster: a version of a port of a service,
// with how clients treat it.
type Backend struct {
	Port    *Port
	Version string // "": all of the service
	// Selector are the labels by which pods of the version are known; empty: all.
	Selector map[string]string
	Traffic  Traffic
	TLS      BackendTLS
	// Identities are the SPIFFE ids that may answer, sorted: the pinned SANs.
	Identities []string
	Workloads  []*Workload
	// Static are the endpoints of external services, with their ports. Endpoints
	// of workloads are live facts, also where a MeshWorkload writes them.
	Static []mesh.Endpoint
	// Resolve by DNS instead of EDS: the hosts of Static are DNS names.
	DNS bool
	// FirstAddress takes the first address of each answer of DNS for new connections,
	// and leaves those that are open.
	FirstAddress bool
}

// LocalityRule says what the places of callers and endpoints mean; nil: nothing.
func (b *Backend) LocalityRule() *locality.Rule {
	if l := b.Traffic.LoadBalancing.Locality; l != nil {
		return &l.Rule
	}
	return nil
}

// BackendTLS is the transport towards a backend.
type BackendTLS string

// Transports. Mesh is mutual TLS with mesh identities.
const (
	TLSMesh   BackendTLS = "mesh"
	TLSPlain  BackendTLS = "plain"
	TLSSimple BackendTLS = "simple" // server verified by Origin's ClientTLS
)

// Traffic is how clients treat a backend, all explicit.
type Traffic struct {
	LoadBalancing    mesh.LoadBalancing
	Connections      mesh.Connections // ConnectTimeout set
	CircuitBreaker   Thresholds
	OutlierDetection *mesh.OutlierDetection // nil: off; fields set
	// PanicPercent is Envoy's healthy_panic_threshold; nil: Envoy's 50 %.
	PanicPercent *float64
	RetryBudget  *mesh.RetryBudget
	Fallback     *mesh.Fallback
	ClientTLS    *mesh.ClientTLS // of TLSSimple
}

// Thresholds of Envoy's circuit breaker, default priority.
type Thresholds struct {
	MaxConnections, MaxPendingRequests, MaxRequests, MaxRetries uint32
	// MaxConnectionsPerHost is to each endpoint; 0: no limit of its own.
	MaxConnectionsPerHost uint32
}

// Workload is a checked workload.
type Workload struct {
	Origin          mesh.Origin
	Namespace, Name string
	Labels          map[string]string
	ServiceAccount  string
	Identity        string // spiffe://<trust domain>/ns/<namespace>/sa/<account>
	Version         string
	Capture         mesh.Capture
	Engine          mesh.Engine
	AllowAnyEgress  bool
	Inbound         []*Inbound // by port
	Uses            []*Service // in scope, by key, each once; nil in the values that services point to
	UsesDeclared    bool       // set with Uses: they are written, not the default scope
	Endpoints       []mesh.Endpoint
	Locality        string
	// Gateway are the ports on which it serves gateways, by port; set with Uses.
	Gateway []*GatewayPort
	// Telemetry is what its proxies report, set with Uses; nil: the default. Workloads
	// that report the same share the value.
	Telemetry *Telemetry
	// Limits of the requests that it takes, by port; set with Uses.
	Limits []*PortLimits
	// Rego is set where a policy adds denials written by users, which force
	// Engine to opa.
	Rego bool

	key string
}

// Key is "namespace/name".
func (w *Workload) Key() string { return w.key }

// Inbound is one port that the workload listens on.
type Inbound struct {
	Port     uint32 // of the workload, not of the service
	Protocol mesh.Protocol
	Services []*Port // service ports that lead here, by service key and number
	MTLS     mesh.MTLSMode
	Access   Access
}

// Access is what decides a request at an inbound port: any Deny match denies;
// else any Allow match allows; else DefaultAllow. Rules are those that concern
// the port: Operation.Ports and NotPorts are already decided and empty, and on a
// port that is not HTTP no rule speaks of requests. An exception of a rule takes
// away what both ExceptFrom and ExceptTo cover, an empty list covering all.
type Access struct {
	Deny, Allow, Audit, Custom []*mesh.AccessRule // by ID
	DefaultAllow               bool
	// DefaultReason says why, for people: "the mesh denies unless allowed".
	DefaultReason string
	DefaultSpan   source.Span // of the document that decided, where there is one
}

// Answered are the requests that the port answers at all: what none of them matches is
// 404, whoever asks. nil: all.
func (a *Access) Answered() []mesh.Operation {
	if len(a.Deny) > 0 && a.Deny[0].Status == 404 {
		return a.Deny[0].ExceptTo
	}
	return nil
}

// GatewayPort is a port on which a workload takes requests from outside the mesh,
// for one or several gateways.
type GatewayPort struct {
	Port   uint32 // on which the proxy listens
	Number uint32 // that clients use
	// TLS is set where clients begin with TLS: their server name chooses the
	// listener. Otherwise requests are HTTP, or there is one listener of TCP.
	TLS       bool
	Listeners []*GatewayListener // the most specific hosts first; no host is in two
}

// GatewayListener is a listener of a gateway, with its routes.
type GatewayListener struct {
	Gateway  string // "namespace/name"
	Name     string
	Span     source.Span
	Protocol mesh.ListenerProtocol
	Hosts    []string // names, "*.name" or "*"
	TLS      *mesh.ServerTLS
	// Routes by host; a host of the listener that no route is for is answered 404,
	// or closed where there are no requests.
	Routes []*GatewayRoute
}

// GatewayRoute is the route table of some hosts of a listener.
type GatewayRoute struct {
	Hosts []string // each in one route of the listener
	// Rules are tried in order; no match is 404. Without requests there is one.
	Rules []*Rule

	table *Port
}

// Table is the route table as that of a service has it.
func (r *GatewayRoute) Table() *Port { return r.table }

// ID names the listener in Envoy's configuration.
func (l *GatewayListener) ID() string { return l.Gateway + "/" + l.Name }
