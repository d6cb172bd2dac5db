package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Mesh says what holds for the whole mesh: its trust domain, dialect defaults, mTLS,
// egress and access. A repository has at most one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mcmesh,categories=mesh-compile
// +kubebuilder:printcolumn:name="Trust domain",type=string,JSONPath=`.spec.trustDomain`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Mesh struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec MeshSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// MeshList is a list of Meshes.
//
// +kubebuilder:object:root=true
type MeshList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Mesh `json:"items"`
}

// MeshSpec leaves everything but the trust domain to the defaults of its dialect.
type MeshSpec struct {
	// TrustDomain is the first part of every identity: spiffe://<trust domain>/...
	TrustDomain TrustDomain `json:"trustDomain"`
	// Defaults chooses the workload and listener defaults (mTLS mode, path
	// normalization, egress, scope). Without a Mesh, istio where the repository has
	// Istio documents, else native.
	Defaults Dialect `json:"defaults,omitempty"`
	// MTLS between meshed workloads; strict unless written.
	MTLS *MTLS `json:"mtls,omitempty"`
	// Egress to hosts that nobody declared; registry-only unless written.
	Egress *Egress `json:"egress,omitempty"`
	// Access where no policy speaks; denied unless written.
	Access *MeshAccess `json:"access,omitempty"`
	// Capture of workloads that do not say it themselves; redirect unless written.
	Capture Capture `json:"capture,omitempty"`
	// Providers are the services that proxies report to and ask.
	Providers *Providers `json:"providers,omitempty"`
	// TrustBundle is the X.509 roots of the mesh, PEM, one or more certificates.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	TrustBundle string `json:"trustBundle,omitempty"`
	// EndpointCIDRs is where live endpoints may be; an agent drops others.
	// Loopback only where it is listed here.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	EndpointCIDRs []CIDR `json:"endpointCIDRs,omitempty"`
	// Invariants of the whole mesh.
	Invariants *InvariantSpec `json:"invariants,omitempty"`
}

// Dialect is a family of documents whose defaults apply.
//
// +kubebuilder:validation:Enum=native;istio;linkerd
type Dialect string

// Values of Dialect.
const (
	DialectNative  Dialect = "native"
	DialectIstio   Dialect = "istio"
	DialectLinkerd Dialect = "linkerd"
)

// MTLS is a mode and, where it is not strict, its end.
type MTLS struct {
	// Mode of a server.
	Mode MTLSMode `json:"mode"`
	// Expires is required with permissive: when it must be strict again.
	Expires *Time `json:"expires,omitempty"`
}

// MeshAccess is what holds where no access policy selects a workload.
//
// +kubebuilder:validation:MinProperties=1
type MeshAccess struct {
	// Default for every namespace; deny unless written.
	Default Access `json:"default,omitempty"`
	// Expires is required with allow: when every namespace must have policies.
	Expires *Time `json:"expires,omitempty"`
	// Namespaces with a default of their own.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Namespaces []NamespaceAccess `json:"namespaces,omitempty"`
}

// NamespaceAccess is the access default of one namespace.
type NamespaceAccess struct {
	// Name of the namespace.
	Name Name `json:"name"`
	// Default of the namespace.
	Default Access `json:"default"`
	// Expires is required with allow: when the namespace must have policies.
	Expires *Time `json:"expires,omitempty"`
}

// Providers are named, so that policies can refer to them.
//
// +kubebuilder:validation:MinProperties=1
type Providers struct {
	// Authorizers that AccessPolicy.spec.custom may ask, by Envoy's ext_authz API.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Authorizers []Provider `json:"authorizers,omitempty"`
	// RateLimits are services of Envoy's rate-limit API (gRPC), asked in the domain that
	// is the mesh's trustDomain. Each descriptor carries the limit that policy writes.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	RateLimits []Provider `json:"rateLimits,omitempty"`
	// Telemetry are collectors of traces and access logs.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Telemetry []TelemetryProvider `json:"telemetry,omitempty"`
}

// Provider is a service that proxies ask.
type Provider struct {
	// Name by which policies refer to the provider.
	Name Name `json:"name"`
	// Service that answers.
	Service Name `json:"service"`
	// Namespace of the service.
	Namespace Name `json:"namespace"`
	// Port of the service.
	Port Port `json:"port"`
	// Timeout of one question; 250ms unless written. What is not answered fails closed.
	Timeout *Duration `json:"timeout,omitempty"`
}

// TelemetryProvider is a service that proxies report to.
//
// +kubebuilder:validation:ExactlyOneOf=service;externalService
type TelemetryProvider struct {
	// Name by which policies refer to the provider. stdout is the proxy's own.
	Name Name `json:"name"`
	// Type of the collector's API: otlp (OpenTelemetry over gRPC; traces and access
	// logs) or zipkin (version 2 over HTTP; traces).
	// +kubebuilder:validation:Enum=otlp;zipkin
	Type string `json:"type"`
	// Service that collects.
	Service Name `json:"service,omitempty"`
	// ExternalService that collects.
	ExternalService Name `json:"externalService,omitempty"`
	// Namespace of the service.
	Namespace Name `json:"namespace"`
	// Port of the service.
	Port Port `json:"port"`
}
