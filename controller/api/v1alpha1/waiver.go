package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Waiver accepts one diagnostic about an object of its namespace until it expires. A
// critical one cannot be accepted.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcwaiver,categories=mesh-compile
// +kubebuilder:printcolumn:name="Code",type=string,JSONPath=`.spec.code`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expires`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Waiver struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec WaiverSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// WaiverList is a list of Waivers.
//
// +kubebuilder:object:root=true
type WaiverList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Waiver `json:"items"`
}

// WaiverSpec names the diagnostic, and who answers for it.
type WaiverSpec struct {
	// Fingerprint of the diagnostic, as lint --format json prints it.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{16}$`
	Fingerprint string `json:"fingerprint"`
	// Code of the diagnostic, for people; an error where it is not the
	// fingerprint's.
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9-]*$`
	// +kubebuilder:validation:MaxLength=64
	Code string `json:"code,omitempty"`
	// Reason why it is accepted.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Reason string `json:"reason"`
	// Owner is the person or team that answers for it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner"`
	// Expires is when the waiver no longer counts, and its presence is an error.
	Expires Time `json:"expires"`
}
