package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MeshWorkload is a workload where there is no Kubernetes one. Beside a Kubernetes
// workload of the same name, or with namespaceWide, it says only uses, capture, egress
// and engine.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcworkload,categories=mesh-compile
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshWorkload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec MeshWorkloadSpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// MeshWorkloadList is a list of MeshWorkloads.
//
// +kubebuilder:object:root=true
type MeshWorkloadList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshWorkload `json:"items"`
}

// MeshWorkloadSpec describes the workload, or every workload of the namespace.
//
// +kubebuilder:validation:MinProperties=1
type MeshWorkloadSpec struct {
	// Service that the workload is part of. Several workloads of one service are
	// its versions, and have equal ports.
	Service Name `json:"service,omitempty"`
	// Version of the service that the workload runs.
	Version VersionName `json:"version,omitempty"`
	// ServiceAccount is the workload's identity; "default" unless written.
	ServiceAccount Name `json:"serviceAccount,omitempty"`
	// Ports of the service.
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []ServicePort `json:"ports,omitempty"`
	// Endpoints are the places of the workload's proxies.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Locality of endpoints that do not say their own.
	Locality *Locality `json:"locality,omitempty"`
	// NamespaceWide makes the document speak for every workload of the namespace
	// that has no document of its own.
	NamespaceWide True `json:"namespaceWide,omitempty"`
	// Uses are the services that the workload calls: its scope. The workload's own
	// namespace unless written.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	Uses []Use `json:"uses,omitempty"`
	// Capture is how traffic reaches the proxy.
	Capture Capture `json:"capture,omitempty"`
	// Egress of this workload, in place of the mesh's.
	Egress *Egress `json:"egress,omitempty"`
	// Engine that enforces access; rbac unless written.
	Engine Engine `json:"engine,omitempty"`
}

// Use is one service, one external service, or, with a namespace alone, all
// services of that namespace.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:AtMostOneOf=service;externalService
type Use struct {
	// Service that is called.
	Service Name `json:"service,omitempty"`
	// ExternalService that is called.
	ExternalService Name `json:"externalService,omitempty"`
	// Namespace of what is called; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
}
