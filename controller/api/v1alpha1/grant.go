package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Grant lets other namespaces route to, delegate to, or be delegated by this one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcgrant,categories=mesh-compile
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Grant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec GrantSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// GrantList is a list of Grants.
//
// +kubebuilder:object:root=true
type GrantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Grant `json:"items"`
}

// GrantSpec says to whom, and what.
//
// +kubebuilder:validation:AtLeastOneOf=routeTo;delegateTo;delegatedBy
type GrantSpec struct {
	// Namespaces that may do what the other fields say.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Namespaces []Name `json:"namespaces"`
	// RouteTo lets their routes have destinations here.
	RouteTo *GrantedServices `json:"routeTo,omitempty"`
	// DelegateTo lets their routes delegate to routes of this namespace.
	DelegateTo *GrantedRoutes `json:"delegateTo,omitempty"`
	// DelegatedBy lets their routes name routes of this namespace as parent.
	DelegatedBy *GrantedRoutes `json:"delegatedBy,omitempty"`
}

// GrantedServices are services of this namespace.
//
// +kubebuilder:validation:ExactlyOneOf=services;anything
type GrantedServices struct {
	// Services by name.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Services []Name `json:"services,omitempty"`
	// Anything is every service of the namespace.
	Anything True `json:"anything,omitempty"`
}

// GrantedRoutes are MeshRoutes of this namespace.
//
// +kubebuilder:validation:ExactlyOneOf=routes;anything
type GrantedRoutes struct {
	// Routes by name.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Routes []Name `json:"routes,omitempty"`
	// Anything is every MeshRoute of the namespace.
	Anything True `json:"anything,omitempty"`
}
