package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Duration is a length of time with its unit: "250ms", "2s", "1m30s". Units are
// ns, us, ms, s, m and h; a bare number is an error.
//
// +kubebuilder:validation:Pattern=`^([0-9]+(ns|us|ms|s|m|h))+$`
// +kubebuilder:validation:MaxLength=32
type Duration string

// Size is a number of bytes with its unit: "512B", "64KiB", "1MiB", "2GiB".
//
// +kubebuilder:validation:Pattern=`^[0-9]+(B|KiB|MiB|GiB)$`
// +kubebuilder:validation:MaxLength=16
type Size string

// Time is a moment after RFC 3339, with its zone: "2027-03-31T00:00:00Z".
//
// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`
// +kubebuilder:validation:MaxLength=40
type Time string

// Percent is a share of one hundred; 0.5 is one in two hundred.
//
// +kubebuilder:validation:Minimum=0
// +kubebuilder:validation:Maximum=100
type Percent float64

// Port is a port number of a Service, not of its pods.
//
// +kubebuilder:validation:Minimum=1
// +kubebuilder:validation:Maximum=65535
type Port int32

// Name is the name of an object in Kubernetes: a DNS-1123 subdomain.
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
// +kubebuilder:validation:MaxLength=253
type Name string

// RuleName is a rule's or a case's name, unique in its list. Diagnostics, access
// logs and metrics use it.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
type RuleName string

// Host is a DNS name in lower case; where wildcards are allowed, its first label
// may be "*".
//
// +kubebuilder:validation:Pattern=`^([*]|([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$`
// +kubebuilder:validation:MaxLength=253
type Host string

// Method is an HTTP method in upper case.
//
// +kubebuilder:validation:Pattern=`^[A-Z][A-Z-]*$`
// +kubebuilder:validation:MaxLength=32
type Method string

// Status is an HTTP status code of a final answer.
//
// +kubebuilder:validation:Minimum=200
// +kubebuilder:validation:Maximum=599
type Status int32

// CIDR is an address block or a single address: "10.0.0.0/8", "2001:db8::/32".
//
// +kubebuilder:validation:Pattern=`^[0-9a-fA-F.:]+(/[0-9]{1,3})?$`
// +kubebuilder:validation:MaxLength=50
type CIDR string

// Address is an IP address.
//
// +kubebuilder:validation:Pattern=`^[0-9a-fA-F.:]+$`
// +kubebuilder:validation:MaxLength=45
type Address string

// SPIFFEID is a workload's identity: "spiffe://other.example/ns/web/sa/front".
//
// +kubebuilder:validation:Pattern=`^spiffe://[^/]+/.+$`
// +kubebuilder:validation:MaxLength=2048
type SPIFFEID string

// TrustDomain is the first part of SPIFFE IDs, in lower case: "shop.example".
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$`
// +kubebuilder:validation:MaxLength=253
type TrustDomain string

// True is a field that is written to choose something; its only value is true.
// Leaving it out never means the opposite of what writing it means elsewhere.
//
// +kubebuilder:validation:Enum=true
type True bool

// Capture is how traffic reaches the proxy: "redirect" is transparent
// interception with original destinations (listeners 15001 and 15006), "none"
// is one outbound HTTP-proxy listener and one inbound listener per port.
//
// +kubebuilder:validation:Enum=redirect;none
type Capture string

// Values of Capture.
const (
	CaptureRedirect Capture = "redirect"
	CaptureNone     Capture = "none"
)

// Engine is who enforces access at a workload: Envoy's RBAC filter, or OPA
// through ext_authz in the agent.
//
// +kubebuilder:validation:Enum=rbac;opa
type Engine string

// Values of Engine.
const (
	EngineRBAC Engine = "rbac"
	EngineOPA  Engine = "opa"
)

// EgressMode says what happens to a request for a host that no service,
// external service or assumption names: "registry-only" refuses it, "allow-any"
// passes it through.
//
// +kubebuilder:validation:Enum=registry-only;allow-any
type EgressMode string

// Values of EgressMode.
const (
	EgressRegistryOnly EgressMode = "registry-only"
	EgressAllowAny     EgressMode = "allow-any"
)

// MTLSMode says what a server accepts: "strict" mutual TLS only, "permissive"
// mutual TLS and plaintext, "disable" plaintext only.
//
// +kubebuilder:validation:Enum=strict;permissive;disable
type MTLSMode string

// Values of MTLSMode.
const (
	MTLSStrict     MTLSMode = "strict"
	MTLSPermissive MTLSMode = "permissive"
	MTLSDisable    MTLSMode = "disable"
)

// Access is a decision: "allow" or "deny".
//
// +kubebuilder:validation:Enum=allow;deny
type Access string

// Values of Access.
const (
	Allow Access = "allow"
	Deny  Access = "deny"
)

// Protocol is what a port speaks. HTTP matches, rewrites and retries exist for
// http, http2 and grpc; tls is passed through by SNI; tcp has none of them.
//
// +kubebuilder:validation:Enum=http;http2;grpc;tcp;tls
type Protocol string

// Values of Protocol.
const (
	ProtocolHTTP  Protocol = "http"
	ProtocolHTTP2 Protocol = "http2"
	ProtocolGRPC  Protocol = "grpc"
	ProtocolTCP   Protocol = "tcp"
	ProtocolTLS   Protocol = "tls"
)

// Egress is the outbound policy for hosts that are not in the mesh.
type Egress struct {
	// Mode decides about unknown hosts; registry-only where nothing is written.
	Mode EgressMode `json:"mode"`
}

// Locality is where something runs. Values are the cloud's words, as in the
// labels topology.kubernetes.io/region and /zone.
type Locality struct {
	// Region is the widest area: "eu-west-1".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Region string `json:"region"`
	// Zone is a part of the region.
	// +kubebuilder:validation:MaxLength=128
	Zone string `json:"zone,omitempty"`
	// SubZone is a part of the zone.
	// +kubebuilder:validation:MaxLength=128
	SubZone string `json:"subZone,omitempty"`
}

// Endpoint is one place where a workload or an external service listens.
//
// +kubebuilder:validation:ExactlyOneOf=address;dns
type Endpoint struct {
	// Address where it listens.
	Address Address `json:"address,omitempty"`
	// DNS is a name that is resolved again and again; all its addresses are used.
	DNS Host `json:"dns,omitempty"`
	// Port is the port at this endpoint, for a service of one port. Unless
	// written, the service port's targetPort.
	Port *Port `json:"port,omitempty"`
	// Locality of this endpoint; unless written, its workload's.
	Locality *Locality `json:"locality,omitempty"`
	// Weight is this endpoint's share among its locality's endpoints, 1 unless
	// written. Envoy: LbEndpoint.load_balancing_weight.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Weight *int32 `json:"weight,omitempty"`
}

// ServicePort is one port of a service that no Kubernetes Service describes.
type ServicePort struct {
	// Port is what callers and policies name.
	Port Port `json:"port"`
	// Name of the port, for people.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// Protocol spoken on the port; http unless written.
	Protocol Protocol `json:"protocol,omitempty"`
	// TargetPort is where the application listens; Port unless written.
	TargetPort *Port `json:"targetPort,omitempty"`
}

// GatewayRef names a gateway's listener.
type GatewayRef struct {
	// Name of the MeshGateway.
	Name Name `json:"name"`
	// Namespace of the gateway; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Listener by name; all listeners of the gateway unless written.
	// +kubebuilder:validation:MaxLength=63
	Listener string `json:"listener,omitempty"`
}

// RouteRef names a MeshRoute.
type RouteRef struct {
	// Route is the MeshRoute's name.
	Route Name `json:"route"`
	// Namespace of the MeshRoute; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
}

// ObjectStatus is what the controller reports about an object. It is never read
// by the compiler.
type ObjectStatus struct {
	// ObservedGeneration is the metadata.generation that the conditions judge.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions of the object: Ready, Accepted, Live.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
