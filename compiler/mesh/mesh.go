// Package mesh is the dialect-free model of what a policy repository says.
//
// In: nothing (dialects fill it). Out: values with the place of everything that
// can be blamed. Names are not resolved here and defaults are not filled:
// package check does both. Values are immutable once a dialect returned them,
// so that an unchanged document keeps its very same values from run to run.
package mesh

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Dialect is the family of a document.
type Dialect string

// Dialects. The dialect of a route decides its own defaults.
const (
	Native     Dialect = "native"
	Istio      Dialect = "istio"
	GatewayAPI Dialect = "gatewayapi"
	Linkerd    Dialect = "linkerd"
	Kubernetes Dialect = "kubernetes"
)

// RootNamespace is where Istio documents speak for the whole mesh
// (MeshConfig.rootNamespace).
const RootNamespace = "istio-system"

// Origin is the document that something comes from.
type Origin struct {
	Dialect         Dialect
	Kind            string
	Namespace, Name string
	Span            source.Span // of the document's name
}

// Object is the document's name in diagnostics: "MeshRoute shop/catalog".
func (o Origin) Object() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// ID is the stable prefix of the ids of the document's rules, free of positions:
// "MeshRoute/shop/catalog".
func (o Origin) ID() string { return o.Kind + "/" + o.Namespace + "/" + o.Name }

// Fragment is what one document adds to the mesh. A mesh is the sum of its
// fragments in any order.
type Fragment struct {
	Meshes          []*Settings
	Namespaces      []*Namespace
	Services        []*Service
	Workloads       []*Workload
	ServiceAccounts []*ServiceAccount
	Gateways        []*Gateway
	GatewayClasses  []*GatewayClass
	ListenerSets    []*ListenerSet
	Routes          []*Route
	TrafficPolicies []*TrafficPolicy
	BackendTLS      []*BackendTLS
	ConfigMaps      []*ConfigMap
	AccessPolicies  []*AccessPolicy
	PeerPolicies    []*PeerPolicy
	Telemetries     []*Telemetry
	RateLimits      []*RateLimitPolicy
	Externals       []*External
	Assumptions     []*Assumption
	Waivers         []*Waiver
	Tests           []*Test
	Invariants      []*Invariant
	Grants          []*Grant
	Expiries        []*Expiry
	Servers         []*Server
	Authentications []*Authentication
	Authorizations  []*Authorization
	ServerRoutes    []*ServerRoute
}

// Expiry is something in a document that waits for an end: after At, new builds
// fail at Span. It never changes what is compiled.
type Expiry struct {
	Origin
	What string // for people: "fault of rule \"canary\""
	At   time.Time
	Span source.Span // of the date
}

// Settings is the mesh-wide document (native Mesh).
type Settings struct {
	Origin
	TrustDomain    string
	TrustDomainAt  source.Span
	Defaults       Dialect // "" where not written
	EgressMode     string  // "registry-only", "allow-any", "" where not written
	AccessDefault  string  // "deny" unless written "allow"
	NamespaceAllow []NamespaceAccess
	MTLS           MTLSMode // "" where not written
	TrustBundle    string   // PEM X.509 roots
	EndpointCIDRs  []string
	EndpointsAt    source.Span
	ClusterDomain  string // "cluster.local" unless written
	// Capture of workloads that do not say it themselves; "" where not written.
	Capture Capture
	// Collectors that telemetry policies name.
	Collectors []Collector
	// Limiters that rate limits name.
	Limiters []Limiter
}

// NamespaceAccess is a namespace that is open until Expires.
type NamespaceAccess struct {
	Name    string
	Allow   bool
	Expires time.Time
	Span    source.Span
}

// Namespace of Kubernetes.
type Namespace struct {
	Origin
	Labels map[string]string
	// Inbound and Opaque hold for workloads of the namespace that do not say it
	// themselves (Linkerd's annotations).
	Inbound WrittenDefault
	Opaque  []PortRange
}

// PortRange is a span of port numbers, both ends included.
type PortRange struct{ First, Last uint32 }

// ServiceAccount of Kubernetes.
type ServiceAccount struct{ Origin }

// Protocol of a service port.
type Protocol string

// Protocols. HTTP covers HTTP/1.1 and, where the client upgrades, HTTP/2.
const (
	HTTP  Protocol = "http"
	HTTP2 Protocol = "http2"
	GRPC  Protocol = "grpc"
	TCP   Protocol = "tcp"
	TLS   Protocol = "tls"
)

// IsHTTP reports whether requests can be seen on the protocol.
func (p Protocol) IsHTTP() bool { return p == HTTP || p == HTTP2 || p == GRPC }

// Service is a name with ports over workloads.
type Service struct {
	Origin
	Labels   map[string]string
	Selector map[string]string // of workload labels; nil selects nothing
	Headless bool
	// ExternalName is Kubernetes' alias to a DNS name.
	ExternalName string
	Ports        []ServicePort
	// Calls is how the service is called where no route says otherwise (Linkerd's
	// annotations); nil: by the mesh's defaults.
	Calls *Calls
}

// Calls is what a client's proxy does with requests of which no route says otherwise:
// routes that are merged by precedence override it, others take its place.
type Calls struct {
	Timeout     *Timeout
	IdleTimeout *time.Duration
	Retry       *Retry
}

// ServicePort is a port of a service. Target is where the workload listens: a
// number, or the name of a container port; both zero mean Number.
type ServicePort struct {
	Name       string
	Number     uint32
	Protocol   Protocol
	Target     uint32
	TargetName string
	Span       source.Span
}

// Workload is the proxies of one Deployment, StatefulSet or MeshWorkload.
type Workload struct {
	Origin
	Labels         map[string]string // of its pods
	ServiceAccount string            // "default" unless written
	// Service and Version are written by a native MeshWorkload, which may be a
	// service of its own without a Kubernetes Service.
	Service   *Ref
	Version   string
	Ports     []WorkloadPort
	Endpoints []Endpoint
	Locality  string // "region/zone/subzone"
	// Overlay is set where the document only adds to a Kubernetes workload of the
	// same name, or NamespaceWide to all of the namespace.
	Overlay       bool
	NamespaceWide bool
	// Describes are the written fields of a native document that make it a
	// workload of its own, which it cannot be beside a Kubernetes workload.
	Describes []WrittenField
	// Uses are the services in scope; without Name all of the namespace.
	Uses       []Ref
	HasUses    bool
	Capture    Capture // "" where not written
	EgressMode string
	Engine     Engine // "" where not written
	// Inbound is whom ports let in that no policy speaks of, Opaque the ports that
	// carry connections whatever their service says (Linkerd's annotations).
	Inbound WrittenDefault
	Opaque  []PortRange
}

// WrittenField is a field that a document has, and where.
type WrittenField struct {
	Key  string
	Span source.Span
}

// WorkloadPort is a container port.
type WorkloadPort struct {
	Name     string
	Number   uint32
	Protocol Protocol // "" where not written
	Span     source.Span
}

// Endpoint is an address written in policy: an IP address or a DNS name.
type Endpoint struct {
	Address  string
	Port     uint32 // 0: the service's target port
	Locality string
	Weight   uint32
	// Labels choose the versions of an Istio external service that have it.
	Labels map[string]string
	Span   source.Span
}

// Capture is how traffic reaches the proxy.
type Capture string

// Captures, see the design's words.
const (
	CaptureNone     Capture = "none"
	CaptureRedirect Capture = "redirect"
)

// Engine is who enforces access on a workload.
type Engine string

// Engines.
const (
	EngineRBAC Engine = "rbac"
	EngineOPA  Engine = "opa"
)

// Ref names a service. Native documents set Name and Namespace; dialects with
// host strings set Host, and Namespace is then the referring document's, in
// which short names are looked up.
type Ref struct {
	Name, Namespace string
	Host            string
	Span            source.Span
	// External is set where a native document names an ExternalService.
	External bool
}

// String is the name as the user wrote it.
func (r Ref) String() string {
	switch {
	case r.Host != "":
		return r.Host
	case r.Namespace != "":
		return r.Namespace + "/" + r.Name
	}
	return r.Name
}

// External is a destination outside the mesh.
type External struct {
	Origin
	Service    string // its name as a service; "": that of the document
	Hosts      []string
	HostsAt    []source.Span
	Ports      []ServicePort
	Resolution string // "dns", "dns-first" (the first address of each answer), "static"
	Endpoints  []Endpoint
	TLS        *ClientTLS
	SANs       []string // for ClientTLS without names of its own
	From       []string // namespaces that may use it; nil: its own, of Istio all
}

// Assumption declares names that exist outside this repository.
type Assumption struct {
	Origin
	Services []AssumedService
	Gateways []string // "namespace/name"
}

// AssumedService is a service that exists elsewhere. Without Ports any port is
// assumed, without Versions any version.
type AssumedService struct {
	Ref
	Ports    []uint32
	Versions []string
}

// Grant lets another namespace refer to this one.
type Grant struct {
	Origin
	From []string // namespaces
	To   []Ref    // empty: every service of the namespace
	// Kinds are those of the documents, of the grant's own dialect, that may refer;
	// nil: all, of every dialect.
	Kinds []string
}

// Waiver is an accepted diagnostic.
type Waiver struct {
	Origin
	Fingerprint, Reason, Owner string
	Code                       string // of the diagnostic, "" where not written
	Expires                    time.Time
}
