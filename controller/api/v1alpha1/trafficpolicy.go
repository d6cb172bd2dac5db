package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TrafficPolicy says how one service is called and protected from load. A service has at
// most one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mctraffic,categories=mesh-compile
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TrafficPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec TrafficPolicySpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// TrafficPolicyList is a list of TrafficPolicies.
//
// +kubebuilder:object:root=true
type TrafficPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TrafficPolicy `json:"items"`
}

// TrafficPolicySpec has exactly one target: service or externalService.
//
// +kubebuilder:validation:ExactlyOneOf=service;externalService
type TrafficPolicySpec struct {
	// Service of this namespace.
	Service Name `json:"service,omitempty"`
	// ExternalService of this namespace.
	ExternalService Name `json:"externalService,omitempty"`
	TrafficSettings `json:",inline"`
	// Versions of the service: their labels, and settings that replace those of the
	// service and of the port.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Versions []VersionTraffic `json:"versions,omitempty"`
	// Ports with settings that replace those of the service.
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []PortTraffic `json:"ports,omitempty"`
}

// VersionTraffic is a version of the service. A setting replaces the whole
// field of the same name.
type VersionTraffic struct {
	// Name by which routes refer to the version.
	Name VersionName `json:"name"`
	// Labels of the version's pods; {version: <name>} unless written.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Labels          map[string]string `json:"labels,omitempty"`
	TrafficSettings `json:",inline"`
}

// PortTraffic is a port of the service. A setting replaces the whole field of
// the same name.
type PortTraffic struct {
	// Port of the Service.
	Port            Port `json:"port"`
	TrafficSettings `json:",inline"`
}

// TrafficSettings are the settings that a service, a port or a version may have.
type TrafficSettings struct {
	// LoadBalancing among the endpoints.
	LoadBalancing *LoadBalancing `json:"loadBalancing,omitempty"`
	// Connections to the endpoints.
	Connections *Connections `json:"connections,omitempty"`
	// CircuitBreaker refuses what exceeds its limits.
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`
	// OutlierDetection takes failing endpoints out for a time.
	OutlierDetection *OutlierDetection `json:"outlierDetection,omitempty"`
	// RetryBudget limits retries to a share of the requests in flight.
	RetryBudget *RetryBudget `json:"retryBudget,omitempty"`
	// Fallback answers when the service cannot.
	Fallback *Fallback `json:"fallback,omitempty"`
	// TLS to the endpoints; mutual TLS of the mesh where they are meshed.
	TLS *UpstreamTLS `json:"tls,omitempty"`
}
