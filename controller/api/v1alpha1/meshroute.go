package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MeshRoute says how requests for a service, an external service, or hosts at a
// gateway are routed. Rules are tried in order; the first that matches decides.
// Two routes for one service are an error unless one delegates to the other.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcroute,categories=mesh-compile
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshRoute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec MeshRouteSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// MeshRouteList is a list of MeshRoutes.
//
// +kubebuilder:object:root=true
type MeshRouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshRoute `json:"items"`
}

// MeshRouteSpec has exactly one target: service, externalService, gateway or
// parent.
//
// +kubebuilder:validation:ExactlyOneOf=service;externalService;gateway;parent
type MeshRouteSpec struct {
	// Service of this namespace whose requests are routed.
	Service Name `json:"service,omitempty"`
	// ExternalService of this namespace whose requests are routed.
	ExternalService Name `json:"externalService,omitempty"`
	// Gateway at which requests for Hosts arrive.
	Gateway *GatewayRef `json:"gateway,omitempty"`
	// Hosts, with Gateway only; a listener must accept each.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Hosts []Host `json:"hosts,omitempty"`
	// Parent is the route that delegates to this one; inactive until it does.
	Parent *RouteRef `json:"parent,omitempty"`
	// Unmatched says what happens to a request that no rule matches. Required when
	// no rule matches everything.
	Unmatched Unmatched `json:"unmatched,omitempty"`
	// Rules in the order in which they are tried.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []RouteRule `json:"rules,omitempty"`
}

// Unmatched is "service" (goes to the route's service) or "not-found" (404).
//
// +kubebuilder:validation:Enum=service;not-found
type Unmatched string

// Values of Unmatched.
const (
	UnmatchedService  Unmatched = "service"
	UnmatchedNotFound Unmatched = "not-found"
)

// RouteRule does one of to, redirect, respond and delegate; with none of them,
// the request goes to the route's service.
//
// +kubebuilder:validation:AtMostOneOf=to;redirect;respond;delegate
type RouteRule struct {
	// Name of the rule, unique in the route.
	Name RuleName `json:"name"`
	// Match is a list of alternatives. Only the last rule may omit it, and then
	// matches everything.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Match []RouteMatch `json:"match,omitempty"`

	// To are the destinations, chosen by weight. Envoy: RouteAction.weighted_clusters.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	To []Destination `json:"to,omitempty"`
	// TotalWeight is what the weights of To must sum to; 100 unless written.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	TotalWeight *int32 `json:"totalWeight,omitempty"`
	// Redirect answers with another location.
	Redirect *Redirect `json:"redirect,omitempty"`
	// Respond answers without asking anybody.
	Respond *Respond `json:"respond,omitempty"`
	// Delegate hands the matched requests to another MeshRoute, which must name
	// this one as its parent.
	Delegate *RouteRef `json:"delegate,omitempty"`

	// Rewrite changes path and host before the request is sent on.
	Rewrite *Rewrite `json:"rewrite,omitempty"`
	// RequestHeaders changes what the destination receives.
	RequestHeaders *HeaderChanges `json:"requestHeaders,omitempty"`
	// ResponseHeaders changes what the caller receives.
	ResponseHeaders *HeaderChanges `json:"responseHeaders,omitempty"`
	// Timeout of the whole request with its retries. "0s" is none and requires
	// StreamIdleTimeout. Unless written 15s, and none for gRPC and upgrades.
	// Envoy: RouteAction.timeout.
	Timeout *Duration `json:"timeout,omitempty"`
	// StreamIdleTimeout ends a stream without traffic. Envoy: RouteAction.idle_timeout.
	StreamIdleTimeout *Duration `json:"streamIdleTimeout,omitempty"`
	// MaxStreamDuration ends a stream however busy it is. Envoy:
	// RouteAction.max_stream_duration.
	MaxStreamDuration *Duration `json:"maxStreamDuration,omitempty"`
	// Retry repeats a request that failed. None unless written.
	Retry *Retry `json:"retry,omitempty"`
	// Mirror sends a copy elsewhere and ignores its answer.
	Mirror *Mirror `json:"mirror,omitempty"`
	// CORS answers preflight requests and marks responses for browsers.
	CORS *CORS `json:"cors,omitempty"`
	// Fault delays or aborts a share of the requests until it expires.
	Fault *Fault `json:"fault,omitempty"`
	// Sticky keeps a caller on the version that the weights once chose for it.
	Sticky *Sticky `json:"sticky,omitempty"`
}

// RouteMatch is one alternative: all its conditions must hold. A condition that
// the port's protocol does not have is an error.
//
// +kubebuilder:validation:MinProperties=1
type RouteMatch struct {
	// Path of an HTTP request.
	Path *PathMatch `json:"path,omitempty"`
	// Methods of HTTP, one of which the request has.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Methods []Method `json:"methods,omitempty"`
	// GRPC service and method.
	GRPC *GRPCMatch `json:"grpc,omitempty"`
	// Headers by lower-case name.
	Headers ValueMatches `json:"headers,omitempty"`
	// Query parameters by name.
	Query ValueMatches `json:"query,omitempty"`
	// Cookies by name.
	Cookies ValueMatches `json:"cookies,omitempty"`
	// From says which callers; for traffic inside the mesh only.
	From *From `json:"from,omitempty"`
	// Ports of the Service to which the request was sent.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []Port `json:"ports,omitempty"`
	// SNI names of a TLS connection that is passed through.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	SNI []Host `json:"sni,omitempty"`
}

// Destination is where a request goes.
type Destination struct {
	// Service to call; the route's own unless written.
	Service Name `json:"service,omitempty"`
	// Namespace of the service; the document's own unless written. Another
	// namespace needs a Grant there.
	Namespace Name `json:"namespace,omitempty"`
	// Port of the service; required where it has several and the request's port is
	// none of them.
	Port *Port `json:"port,omitempty"`
	// Version of the service: pods labelled "version: <value>", or what the
	// TrafficPolicy's versions say. All versions unless written.
	Version VersionName `json:"version,omitempty"`
	// Weight is a share of TotalWeight. Required with several destinations; 0 sends
	// nothing.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int32 `json:"weight,omitempty"`
	// RequestHeaders changes what this destination receives, after the rule's.
	RequestHeaders *HeaderChanges `json:"requestHeaders,omitempty"`
	// ResponseHeaders changes what callers of this destination receive, before the
	// rule's.
	ResponseHeaders *HeaderChanges `json:"responseHeaders,omitempty"`
}

// VersionName names a version of a service: the value of the pods' label "version".
//
// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
// +kubebuilder:validation:MaxLength=63
type VersionName string
