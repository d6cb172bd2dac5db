package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ExternalService is a destination outside the mesh.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcexternal,categories=mesh-compile
// +kubebuilder:printcolumn:name="Hosts",type=string,JSONPath=`.spec.hosts`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ExternalService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec ExternalServiceSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// ExternalServiceList is a list of ExternalServices.
//
// +kubebuilder:object:root=true
type ExternalServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExternalService `json:"items"`
}

// ExternalServiceSpec says what is reached, how, and from where.
type ExternalServiceSpec struct {
	// Hosts by which callers name the destination. A wildcard needs resolution none.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Hosts []Host `json:"hosts"`
	// Ports of the destination.
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []ServicePort `json:"ports"`
	// Resolution of the hosts; dns unless written.
	Resolution Resolution `json:"resolution,omitempty"`
	// Endpoints in place of the hosts' own addresses. Required with static.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// TLS that proxies originate towards the destination; none unless written.
	TLS *UpstreamTLS `json:"tls,omitempty"`
	// From says which callers see the destination; every workload of its own
	// namespace unless written.
	From *ExternalFrom `json:"from,omitempty"`
	// Via is the gateway that all traffic to the destination passes.
	Via *GatewayRef `json:"via,omitempty"`
}

// ExternalFrom says where a destination is visible.
//
// +kubebuilder:validation:MinProperties=1
type ExternalFrom struct {
	// Namespaces whose workloads see the destination.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Namespaces []Name `json:"namespaces,omitempty"`
	// Meshed makes it visible to every workload of the mesh.
	Meshed True `json:"meshed,omitempty"`
}

// Resolution is where addresses come from: "dns" resolves the hosts or the
// endpoints' names, "static" takes the endpoints' addresses, "none" takes the
// address that the caller connected to.
//
// +kubebuilder:validation:Enum=dns;static;none
type Resolution string

// Values of Resolution.
const (
	ResolutionDNS    Resolution = "dns"
	ResolutionStatic Resolution = "static"
	ResolutionNone   Resolution = "none"
)

// UpstreamTLS is TLS that the caller's proxy originates. The server's
// certificate is always verified.
type UpstreamTLS struct {
	// Mode of the connection.
	Mode UpstreamTLSMode `json:"mode"`
	// SNI that is sent and verified; the request's host unless written.
	SNI Host `json:"sni,omitempty"`
	// SubjectAltNames, one of which the certificate must have; SNI unless written.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	SubjectAltNames []string `json:"subjectAltNames,omitempty"`
	// CACertificates in PEM; the system's roots unless written.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	CACertificates string `json:"caCertificates,omitempty"`
	// ClientCertificate is the name of a secret that the agent holds, for mutual.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClientCertificate string `json:"clientCertificate,omitempty"`
}

// UpstreamTLSMode is "mesh" (mutual TLS with mesh identities), "simple" (the
// server shows a certificate), "mutual" (both do) or "disable" (plaintext).
//
// +kubebuilder:validation:Enum=mesh;simple;mutual;disable
type UpstreamTLSMode string

// Values of UpstreamTLSMode.
const (
	UpstreamTLSMesh    UpstreamTLSMode = "mesh"
	UpstreamTLSSimple  UpstreamTLSMode = "simple"
	UpstreamTLSMutual  UpstreamTLSMode = "mutual"
	UpstreamTLSDisable UpstreamTLSMode = "disable"
)
