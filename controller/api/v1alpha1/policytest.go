package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PolicyTest is requests and what must happen to them, asked of the evaluator and, with
// --envoy, of a real Envoy.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mctest,categories=mesh-compile
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PolicyTest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec PolicyTestSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// PolicyTestList is a list of PolicyTests.
//
// +kubebuilder:object:root=true
type PolicyTestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyTest `json:"items"`
}

// PolicyTestSpec is a list of cases.
type PolicyTestSpec struct {
	// Cases, each independent of the others.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	Cases []TestCase `json:"cases"`
}

// TestCase is one request and its outcome.
type TestCase struct {
	// Name of the case, unique in the test.
	Name RuleName `json:"name"`
	// Request that is made.
	Request TestRequest `json:"request"`
	// Expect is what must happen.
	Expect TestExpect `json:"expect"`
}

// TestRequest is one HTTP request or, to a TCP port, one connection.
type TestRequest struct {
	// From is the caller.
	From TestFrom `json:"from"`
	// To is what is called.
	To TestTo `json:"to"`
	// Method of HTTP; GET unless written.
	Method Method `json:"method,omitempty"`
	// Path with query, as sent; "/" unless written.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=8192
	Path string `json:"path,omitempty"`
	// Headers by lower-case name.
	Headers HeaderValues `json:"headers,omitempty"`
	// Host that is asked for at a gateway.
	Host Host `json:"host,omitempty"`
	// SNI is the server name of the TLS to a gateway; Host unless written.
	SNI Host `json:"sni,omitempty"`
	// ClientCertificate shows a gateway a certificate that its listener's CA signed.
	ClientCertificate True `json:"clientCertificate,omitempty"`
}

// TestFrom is a workload of the mesh, or a caller without identity.
//
// +kubebuilder:validation:ExactlyOneOf=workload;none
type TestFrom struct {
	// Workload that calls.
	Workload Name `json:"workload,omitempty"`
	// Namespace of the workload; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// None is a caller without identity.
	None True `json:"none,omitempty"`
	// Address of the caller, for rules with IP blocks.
	Address Address `json:"address,omitempty"`
}

// TestTo is a service, an external service, a host or a gateway, and a port.
//
// +kubebuilder:validation:ExactlyOneOf=service;externalService;host;gateway
type TestTo struct {
	// Service that is called by its own host.
	Service Name `json:"service,omitempty"`
	// ExternalService that is called by its first host.
	ExternalService Name `json:"externalService,omitempty"`
	// Host that is called.
	Host Host `json:"host,omitempty"`
	// Gateway at which the request arrives from outside the mesh.
	Gateway Name `json:"gateway,omitempty"`
	// Namespace of the service or gateway; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Port of the service or gateway; required where it has several.
	Port *Port `json:"port,omitempty"`
}

// TestExpect is what must happen. What is not written is not judged.
//
// +kubebuilder:validation:MinProperties=1
type TestExpect struct {
	// Access decision.
	Access Access `json:"access,omitempty"`
	// Rule that decides the route, by name.
	Rule RuleName `json:"rule,omitempty"`
	// Action of the route.
	Action TestAction `json:"action,omitempty"`
	// Status that the proxy answers itself: of a redirect or a response.
	// +kubebuilder:validation:Minimum=200
	// +kubebuilder:validation:Maximum=599
	Status *int32 `json:"status,omitempty"`
	// Location of a redirect.
	// +kubebuilder:validation:MaxLength=8192
	Location string `json:"location,omitempty"`
	// Destinations, all of them, with their shares.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Destinations []TestDestination `json:"destinations,omitempty"`
	// Mirrors, all of them, with their shares.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Mirrors []TestDestination `json:"mirrors,omitempty"`
	// Upstream is what the destination receives.
	Upstream *TestUpstream `json:"upstream,omitempty"`
	// Timeout of the request.
	Timeout *Duration `json:"timeout,omitempty"`
	// Attempts after the first request.
	// +kubebuilder:validation:Minimum=0
	Attempts *int32 `json:"attempts,omitempty"`
}

// TestAction is what the route does: "none" is that no route exists (404).
//
// +kubebuilder:validation:Enum=route;redirect;direct;none
type TestAction string

// TestDestination is a share of the requests.
type TestDestination struct {
	// Service that receives it.
	Service Name `json:"service"`
	// Namespace of the service; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Version that receives it; not judged unless written.
	Version VersionName `json:"version,omitempty"`
	// Port of the service; not judged unless written.
	Port *Port `json:"port,omitempty"`
	// Percent of the requests; not judged unless written.
	Percent *Percent `json:"percent,omitempty"`
}

// TestUpstream is the request after rewrites.
//
// +kubebuilder:validation:MinProperties=1
type TestUpstream struct {
	// Path with query.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=8192
	Path string `json:"path,omitempty"`
	// Host header, without port.
	Host Host `json:"host,omitempty"`
	// Headers that are there with these values; others are not judged.
	Headers HeaderValues `json:"headers,omitempty"`
}
