package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Assumption declares names that exist outside this repository, so that references to them
// resolve. Never for a namespace that the repository owns.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcassume,categories=mesh-compile
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Assumption struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec AssumptionSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// AssumptionList is a list of Assumptions.
//
// +kubebuilder:object:root=true
type AssumptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Assumption `json:"items"`
}

// AssumptionSpec lists the names. It is never empty.
//
// +kubebuilder:validation:MinProperties=1
type AssumptionSpec struct {
	// Services that exist elsewhere.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	Services []AssumedService `json:"services,omitempty"`
	// Gateways that exist elsewhere.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Gateways []AssumedGateway `json:"gateways,omitempty"`
	// Issuers of JWTs that an authentication policy elsewhere accepts.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	Issuers []string `json:"issuers,omitempty"`
	// ServiceAccounts that exist elsewhere.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	ServiceAccounts []ServiceAccountRef `json:"serviceAccounts,omitempty"`
}

// AssumedService is a service of which only these facts are known.
type AssumedService struct {
	// Name of the service.
	Name Name `json:"name"`
	// Namespace of the service; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Ports of the service; any port is accepted unless written.
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []ServicePort `json:"ports,omitempty"`
	// Versions of the service.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Versions []VersionName `json:"versions,omitempty"`
	// ServiceAccounts that its workloads run as, in its namespace; required for
	// mutual TLS to it.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	ServiceAccounts []Name `json:"serviceAccounts,omitempty"`
}

// AssumedGateway is a gateway of which only these facts are known.
type AssumedGateway struct {
	// Name of the gateway.
	Name Name `json:"name"`
	// Namespace of the gateway; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Hosts that its listeners accept; any host is accepted unless written.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Hosts []Host `json:"hosts,omitempty"`
}
