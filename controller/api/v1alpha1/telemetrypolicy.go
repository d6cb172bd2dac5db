package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TelemetryPolicy says what proxies tell of requests: access logs and traces. It
// never changes where requests go, or whether they are allowed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=telemetrypolicies,shortName=mctelemetry,categories=mesh-compile
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TelemetryPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec TelemetryPolicySpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// TelemetryPolicyList is a list of TelemetryPolicies.
//
// +kubebuilder:object:root=true
type TelemetryPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TelemetryPolicy `json:"items"`
}

// TelemetryPolicySpec has exactly one target: service, workload or namespaceWide;
// the nearest one to a workload wins, field by field. It speaks of the workload's
// own proxies: of the requests that they take and of those that they send.
//
// +kubebuilder:validation:ExactlyOneOf=service;workload;namespaceWide
// +kubebuilder:validation:AtLeastOneOf=accessLog;tracing
type TelemetryPolicySpec struct {
	// Service of this namespace.
	Service Name `json:"service,omitempty"`
	// Workload of this namespace.
	Workload Name `json:"workload,omitempty"`
	// NamespaceWide means every workload of the namespace.
	NamespaceWide True `json:"namespaceWide,omitempty"`
	// AccessLog of the workload; every request and connection, as JSON on standard
	// output, unless written.
	AccessLog *AccessLog `json:"accessLog,omitempty"`
	// Tracing of the workload's requests; none unless written.
	Tracing *Tracing `json:"tracing,omitempty"`
}

// AccessLog says which requests and connections are logged, how and where.
//
// +kubebuilder:validation:MinProperties=1
type AccessLog struct {
	// Disabled switches the log off.
	Disabled True `json:"disabled,omitempty"`
	// Format of a line on standard output; json unless written.
	// +kubebuilder:validation:Enum=json;text
	Format string `json:"format,omitempty"`
	// Providers of the Mesh (otlp) that the log goes to, or stdout, which is the
	// proxy's standard output; stdout unless written.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Providers []Name `json:"providers,omitempty"`
	// Filter of what is logged; everything unless written.
	Filter *AccessLogFilter `json:"filter,omitempty"`
}

// AccessLogFilter logs what passes all of its conditions.
//
// +kubebuilder:validation:MinProperties=1
type AccessLogFilter struct {
	// ErrorsOnly logs answers of status 400 and above, gRPC answers other than OK, and
	// whatever ended by a response flag: without an answer, or with one of the proxy.
	ErrorsOnly True `json:"errorsOnly,omitempty"`
	// Percent of what is left, chosen at random.
	Percent *Percent `json:"percent,omitempty"`
}

// Tracing says which requests are traced, and where spans are sent.
//
// +kubebuilder:validation:ExactlyOneOf=disabled;provider
type Tracing struct {
	// Disabled switches tracing off.
	Disabled True `json:"disabled,omitempty"`
	// Provider of the Mesh (zipkin or otlp) that spans are sent to.
	Provider Name `json:"provider,omitempty"`
	// Percent of the requests without a decision of a caller that are traced; 1 unless
	// written. Who comes with a decision in the headers of its trace keeps it.
	Percent *Percent `json:"percent,omitempty"`
	// Tags are added to each span.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Tags []TracingTag `json:"tags,omitempty"`
	// Propagation is the headers that carry a trace: b3 (zipkin's, unless written), b3-w3c
	// (both are sent, and W3C's is read where there is no B3), or w3c (otlp's only one).
	// +kubebuilder:validation:Enum=b3;b3-w3c;w3c
	Propagation string `json:"propagation,omitempty"`
}

// TracingTag is a tag with its value.
//
// +kubebuilder:validation:ExactlyOneOf=literal;header
type TracingTag struct {
	// Name of the tag.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`
	// Literal is a fixed value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Literal string `json:"literal,omitempty"`
	// Header of the request that has the value.
	Header *TagHeader `json:"header,omitempty"`
}

// TagHeader is a request header as a tag's value.
type TagHeader struct {
	// Name of the header, in lower case.
	// +kubebuilder:validation:Pattern=`^[a-z0-9!#$%&'*+.^_|~-]+$`
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name"`
	// Default where the header is absent; no tag unless written.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Default string `json:"default,omitempty"`
}
