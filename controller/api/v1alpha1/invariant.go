package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Invariant is what must hold for all requests, whatever the policies say. A violation is a
// finding with a request that shows it. It is about services of its own namespace; the
// invariants of the Mesh may be about any.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcinvariant,categories=mesh-compile
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Invariant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec InvariantSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// InvariantList is a list of Invariants.
//
// +kubebuilder:object:root=true
type InvariantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Invariant `json:"items"`
}

// InvariantSpec has rules of two kinds. It is never empty.
//
// +kubebuilder:validation:MinProperties=1
type InvariantSpec struct {
	// Never: no request that a rule selects may have the outcome it names.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Never []InvariantRule `json:"never,omitempty"`
	// Always: every request that a rule selects must have the outcome it names.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Always []InvariantRule `json:"always,omitempty"`
}

// InvariantRule selects requests and names exactly one outcome.
//
// +kubebuilder:validation:ExactlyOneOf=access;mtls
type InvariantRule struct {
	// Name of the rule, unique in the document.
	Name RuleName `json:"name"`
	// From says who calls; anyone unless written.
	From *From `json:"from,omitempty"`
	// To says what is called.
	To InvariantTo `json:"to"`
	// Except takes away from what from and to select.
	Except *Except `json:"except,omitempty"`
	// Access decision of the request.
	Access Access `json:"access,omitempty"`
	// MTLS mode of the port that the request arrives at.
	MTLS MTLSMode `json:"mtls,omitempty"`
}

// InvariantTo says what is called: a service or a whole namespace, and, within
// it, the fields of To.
//
// +kubebuilder:validation:MinProperties=1
type InvariantTo struct {
	// Service that is called; every service of the namespace unless written.
	Service Name `json:"service,omitempty"`
	// Namespace of the service: the document's own, and in the Mesh, where it is
	// required, any.
	Namespace Name `json:"namespace,omitempty"`
	To        `json:",inline"`
}
