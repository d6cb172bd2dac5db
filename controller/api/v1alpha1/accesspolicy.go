package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AccessPolicy says who may do what. deny wins over allow, audit only logs, and what no
// entry allows is denied.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcaccess,categories=mesh-compile
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workload`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AccessPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec AccessPolicySpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// AccessPolicyList is a list of AccessPolicies.
//
// +kubebuilder:object:root=true
type AccessPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AccessPolicy `json:"items"`
}

// AccessPolicySpec has exactly one target: service, workload, gateway or
// namespaceWide.
//
// +kubebuilder:validation:ExactlyOneOf=service;workload;gateway;namespaceWide
// +kubebuilder:validation:AtLeastOneOf=allow;deny;audit;custom;rego
type AccessPolicySpec struct {
	// Service of this namespace; every workload behind it is protected.
	Service Name `json:"service,omitempty"`
	// Workload of this namespace.
	Workload Name `json:"workload,omitempty"`
	// Gateway of this namespace, by name.
	Gateway Name `json:"gateway,omitempty"`
	// NamespaceWide protects every workload of the namespace.
	NamespaceWide True `json:"namespaceWide,omitempty"`
	// Allow entries; each has from and to.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Allow []AccessRule `json:"allow,omitempty"`
	// Deny entries, which win over allow. Without from or to, that side is
	// everything.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Deny []AccessRule `json:"deny,omitempty"`
	// Audit entries, which only log.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Audit []AccessRule `json:"audit,omitempty"`
	// Custom asks an authorizer of the Mesh, failing closed. It adds denials only.
	Custom *CustomAccess `json:"custom,omitempty"`
	// Rego adds denials of a Rego package in the repository.
	Rego *Rego `json:"rego,omitempty"`
}

// AccessRule is one entry of allow, deny or audit.
type AccessRule struct {
	// Name of the rule, unique in the policy; access logs carry it.
	Name RuleName `json:"name"`
	// From says who calls. Required under allow.
	From *From `json:"from,omitempty"`
	// To says what is called. Required under allow.
	To *To `json:"to,omitempty"`
	// Except takes away from what from and to select.
	Except *Except `json:"except,omitempty"`
	// Expires makes this a break-glass rule: when it must be gone.
	Expires *Time `json:"expires,omitempty"`
}

// CustomAccess asks an authorizer. Envoy: ext_authz with failure_mode_allow false.
type CustomAccess struct {
	// Provider is an authorizer of Mesh.spec.providers.
	Provider Name `json:"provider"`
	// To says which requests are asked about.
	To To `json:"to"`
}

// Rego is a package whose "deny" rule adds denials.
type Rego struct {
	// Package below the repository's Rego files: "shop.payment".
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$`
	// +kubebuilder:validation:MaxLength=256
	Package string `json:"package"`
	// Data is the path, in the repository, of a JSON or YAML file that the package
	// reads.
	// +kubebuilder:validation:MaxLength=1024
	Data string `json:"data,omitempty"`
}
