package mesh

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// TrafficPolicy protects one service from load: native TrafficPolicy, Istio
// DestinationRule.
type TrafficPolicy struct {
	Origin
	Target Ref
	TrafficSettings
	Versions []VersionPolicy
	Ports    []PortPolicy
}

// VersionPolicy defines a version (Istio subset) by labels and may override
// settings; a set field replaces the whole top-level field.
type VersionPolicy struct {
	Name   string
	Labels map[string]string // nil: "version" label equals Name
	TrafficSettings
	Ports []PortPolicy
	Span  source.Span
}

// PortPolicy overrides settings for a port of the service.
type PortPolicy struct {
	Port uint32
	TrafficSettings
	Span source.Span
}

// TrafficSettings are what a client's proxy does towards a service. nil: the
// mesh's or dialect's default.
type TrafficSettings struct {
	LoadBalancing    *LoadBalancing
	Connections      *Connections
	CircuitBreaker   *CircuitBreaker
	OutlierDetection *OutlierDetection
	RetryBudget      *RetryBudget
	Fallback         *Fallback
	TLS              *ClientTLS
}

// LoadBalancing policy: "round-robin", "least-request", "random", "ring-hash",
// "maglev", "passthrough".
type LoadBalancing struct {
	Policy    string
	Hash      []HashKey // in order; what is absent in a request adds nothing
	TableSize uint64    // ring minimum or maglev table; 0: Envoy's default
	SlowStart *SlowStart
	Locality  *Locality
	// AnyLocality is set where a document switches off the preference for near
	// endpoints that its dialect has without a word.
	AnyLocality bool
	// PanicPercent is the share of healthy endpoints below which health is
	// ignored; nil: the dialect's default.
	PanicPercent *float64
	Span         source.Span
}

// SlowStart lets the share of a new endpoint grow. Envoy SlowStartConfig.
type SlowStart struct {
	Window     time.Duration
	MinPercent float64 // the share that it begins with
	Aggression float64 // 1 grows linearly
}

// Locality says how the places of caller and endpoints decide.
type Locality struct {
	locality.Rule
	Span source.Span
}

// HashKey is what consistent hashing hashes; exactly one is set.
type HashKey struct {
	Header, Query string
	Cookie        *HashCookie
	SourceIP      bool
}

// HashCookie is hashed, and set by the proxy where TTL is present.
type HashCookie struct {
	Name, Path string
	TTL        *time.Duration
	Attributes []CookieAttribute // of a cookie that the proxy sets
}

// CookieAttribute is one such as SameSite=Lax, or Secure without a value.
type CookieAttribute struct{ Name, Value string }

// Connections of the pool to a service.
type Connections struct {
	ConnectTimeout        *time.Duration
	IdleTimeout           *time.Duration
	MaxConnectionDuration *time.Duration
	MaxRequests           uint32 // per connection; 0: unlimited
	KeepAlive             *KeepAlive
	HTTP2                 string // "", "upgrade", "never", "as-client"
	MaxConcurrentStreams  uint32
	HTTP2KeepAlive        *HTTP2KeepAlive
	Span                  source.Span
}

// HTTP2KeepAlive sends PING frames. Envoy connection_keepalive.
type HTTP2KeepAlive struct{ Interval, Timeout time.Duration }

// KeepAlive of TCP.
type KeepAlive struct {
	Probes         uint32
	Time, Interval time.Duration
}

// CircuitBreaker thresholds; nil: the default. Envoy circuit_breakers.thresholds.
type CircuitBreaker struct {
	MaxConnections     *uint32
	MaxPendingRequests *uint32
	MaxRequests        *uint32
	MaxRetries         *uint32
	// MaxConnectionsPerHost is for each endpoint; nil: no limit of its own.
	MaxConnectionsPerHost *uint32
	Span                  source.Span
}

// OutlierDetection ejects endpoints. nil fields: the dialect's default.
type OutlierDetection struct {
	Consecutive5xx           *uint32
	ConsecutiveGatewayErrors *uint32
	ConsecutiveLocalErrors   *uint32
	SplitLocalErrors         bool
	Interval                 *time.Duration
	BaseEjectionTime         *time.Duration
	MaxEjectionTime          *time.Duration // nil: the longer of 5m and the base, as Envoy has it
	MaxEjectionPercent       *uint32
	MinHealthPercent         *uint32
	SuccessRate              *SuccessRate
	FailurePercentage        *FailurePercentage
	// ErrorStatuses are the answers that count as errors; nil: every 5xx.
	ErrorStatuses []uint32
	Disabled      bool
	Span          source.Span
}

// SuccessRate ejects endpoints that do worse than the others. nil: Envoy's default.
type SuccessRate struct {
	MinHosts, RequestVolume *uint32
	StdevFactor             *float64
}

// FailurePercentage ejects endpoints that fail more than a share.
type FailurePercentage struct {
	Threshold               uint32
	MinHosts, RequestVolume *uint32
}

// RetryBudget bounds concurrent retries. Envoy circuit_breakers.retry_budget.
type RetryBudget struct {
	Percent             float64
	MinRetryConcurrency uint32
	// Interval for which a request counts after it began; nil: while it is active.
	Interval *time.Duration
	Span     source.Span
}

// Fallback answers when the breaker is open or nobody is healthy.
type Fallback struct {
	WhenOverflow, WhenNoHealthy bool
	Respond                     *Respond
	Span                        source.Span
}

// ClientTLS is TLS to a destination. Mode: "mesh" (mutual with mesh identity),
// "simple", "mutual", "disable".
type ClientTLS struct {
	Mode      string
	SNI       string
	SANs      []string
	CACerts   string // PEM or path in the proxy's file system, as Path says
	Path      bool
	ClientKey string
	Cert      string
	SkipCheck bool
	Span      source.Span
}

// MTLSMode is what a server's proxy demands.
type MTLSMode string

// Modes. Strict refuses plaintext, Permissive takes both, Disable takes only
// plaintext.
const (
	MTLSUnset      MTLSMode = ""
	MTLSStrict     MTLSMode = "strict"
	MTLSPermissive MTLSMode = "permissive"
	MTLSDisable    MTLSMode = "disable"
)

// Target selects workloads for access and peer policies. Exactly one of
// Service, Workload, Selector, NamespaceWide, MeshWide.
type Target struct {
	Service       *Ref
	Workload      string            // name in the policy's namespace
	Selector      map[string]string // of workload labels, in Namespace ("" : every namespace)
	NamespaceWide bool
	MeshWide      bool
	Span          source.Span
}

// PeerPolicy says which mTLS mode workloads demand: native
// AuthenticationPolicy, Istio PeerAuthentication.
type PeerPolicy struct {
	Origin
	Target Target
	Mode   MTLSMode
	Ports  map[uint32]MTLSMode // Istio: the workload's port; native: the service's
	Span   source.Span
	// Expires of a native permissive mode; zero: none.
	Expires time.Time
}

// AccessAction of a policy or list.
type AccessAction string

// Actions in the order in which they are tried: custom, deny, allow; audit only logs.
const (
	Allow  AccessAction = "allow"
	Deny   AccessAction = "deny"
	Audit  AccessAction = "audit"
	Custom AccessAction = "custom"
)

// AccessPolicy says who may do what to its target.
type AccessPolicy struct {
	Origin
	Target Target
	Rules  []*AccessRule
	// AllowsNothing is set for an Istio ALLOW policy without rules: it selects
	// workloads, which closes them, and allows nothing.
	AllowsNothing bool
}

// AccessRule is one alternative. From and To: any of, empty is everything.
type AccessRule struct {
	ID     string // "AccessPolicy/shop/payment/order-charges"
	Name   string
	Span   source.Span
	Action AccessAction
	From   []Source
	To     []Operation
	When   []Condition
	// Except takes away from the rule; callers without identity are never excepted.
	ExceptFrom []Source
	ExceptTo   []Operation
	// ServicePorts says that Operation.Ports are ports of the target's service
	// (native); otherwise they are ports that the workload listens on (Istio).
	ServicePorts bool
	// Status answers what the rule denies; 0: 403. A rule with another one comes first.
	Status uint32
}

// Source of a connection or request. Lists alternate; different fields must all
// hold; Not* must not hold. The zero Source is anyone, with or without identity.
type Source struct {
	// Principals match the SPIFFE id, "spiffe://td/ns/n/sa/s".
	Principals, NotPrincipals           []StringMatch
	ServiceAccounts, NotServiceAccounts []AccountRef
	Namespaces, NotNamespaces           []StringMatch
	IPBlocks, NotIPBlocks               []string // CIDR of the peer
	RemoteIPBlocks, NotRemoteIPBlocks   []string // CIDR of the original client
	// Meshed demands some identity of the mesh's own trust domain.
	Meshed bool
	Span   source.Span
}

// Operation is what is asked for. The zero Operation is anything.
type Operation struct {
	Ports, NotPorts     []uint32
	Methods, NotMethods []StringMatch
	Paths, NotPaths     []StringMatch
	Hosts, NotHosts     []StringMatch
	Headers             []HeaderMatch
	Span                source.Span
}

// IsHTTP reports whether the operation speaks of requests, which exist only on
// HTTP ports.
func (o *Operation) IsHTTP() bool {
	return len(o.Methods)+len(o.NotMethods)+len(o.Paths)+len(o.NotPaths)+
		len(o.Hosts)+len(o.NotHosts)+len(o.Headers) > 0
}

// Condition is an Istio `when` entry that has no field of its own above, such
// as request.headers[x], destination.ip, connection.sni.
type Condition struct {
	Key               string
	Values, NotValues []StringMatch
	Span              source.Span
}

// Test is a PolicyTest.
type Test struct {
	Origin
	Cases []TestCase
}

// TestCase is a request and what must happen to it.
type TestCase struct {
	Name string
	Span source.Span
	// From: a workload "namespace/name", or "" for a caller without identity.
	From   string
	FromAt source.Span
	To     Ref
	Port   uint32
	// Gateway ("namespace/name") at which the request arrives, instead of To. Host is
	// its authority, SNI the server name of its TLS (the host unless written), and
	// ClientCertificate that it shows one that the listener's CA signed.
	Gateway           string
	GatewayAt         source.Span
	Host, SNI         string
	ClientCertificate bool
	Method            string
	Path              string
	Headers           map[string]string
	Expect            TestExpect
}

// TestExpect holds expectations; nil and zero values expect nothing.
type TestExpect struct {
	Access       string // "allow", "deny"
	Action       string // "route", "redirect", "direct", "none"
	Destinations []ExpectDestination
	Mirrors      []ExpectDestination
	Route        string // rule name
	Status       uint32
	Location     string
	Path         string            // as the upstream sees it
	Host         string            // as the upstream sees it
	Headers      map[string]string // as the upstream sees them, by lower-case name
	Timeout      *time.Duration    // 0: none
	Attempts     *uint32           // after the first request
	Span         source.Span
}

// ExpectDestination is a share of a split.
type ExpectDestination struct {
	Service Ref
	Version string
	Port    uint32 // 0: not judged
	Percent float64
	// AnyPercent is set where the document does not judge the share.
	AnyPercent bool
	Span       source.Span
}

// Invariant must hold for all requests. Decided in package analyze.
type Invariant struct {
	Origin
	Never  []InvariantRule
	Always []InvariantRule
}

// InvariantRule is one clause of an invariant.
type InvariantRule struct {
	Name       string
	Span       source.Span
	From       []Source
	ExceptFrom []Source
	To         Ref
	Access     string
	MTLS       MTLSMode
}
