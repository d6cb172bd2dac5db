package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// FleetReport is what the proxies of one replica of the deliver role say of
// themselves. Replicas write them; "mesh-compile fleet" reads them.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=mcfleet,categories=mesh-compile
// +kubebuilder:printcolumn:name="Replica",type=string,JSONPath=`.replica`
// +kubebuilder:printcolumn:name="Renewed",type=date,JSONPath=`.renewTime`
type FleetReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Replica that writes it.
	// +kubebuilder:validation:MaxLength=253
	Replica string `json:"replica"`
	// RenewTime is when it was written last. One that is two minutes old is nobody's
	// any more.
	RenewTime metav1.MicroTime `json:"renewTime"`
	// HighestSequence is the highest of a release that an agent showed and our own
	// key signed.
	HighestSequence int64 `json:"highestSequence,omitempty"`
	// Proxies by workload and instance.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Proxies []ProxyReport `json:"proxies,omitempty"`
}

// FleetReportList is a list of FleetReports.
//
// +kubebuilder:object:root=true
type FleetReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FleetReport `json:"items"`
}

// ProxyReport is what one proxy said last.
type ProxyReport struct {
	// Workload, namespace/name.
	Workload string `json:"workload"`
	// Instance among the workload's proxies: the pod's name.
	Instance string `json:"instance"`
	// Identity that its certificate proves.
	Identity string `json:"identity,omitempty"`
	// Sequence and Digest of the release that it runs.
	Sequence int64  `json:"sequence,omitempty"`
	Digest   string `json:"digest,omitempty"`
	// Applied is when it took that release.
	Applied *metav1.Time `json:"applied,omitempty"`
	// Rejected is the sequence of the release that Envoy did not take, where State is
	// rejected.
	Rejected int64 `json:"rejected,omitempty"`
	// State is applied, rejected (by Envoy) or refused (by verification).
	// +kubebuilder:validation:Enum=applied;rejected;refused
	State string `json:"state"`
	// Error in Envoy's or the verifier's words, and its code.
	// +kubebuilder:validation:MaxLength=1024
	Error string `json:"error,omitempty"`
	Code  string `json:"code,omitempty"`
	// Drift says how what runs differs from what was delivered; "" where it does not.
	// +kubebuilder:validation:MaxLength=1024
	Drift string `json:"drift,omitempty"`
	// Envoy and Agent are their versions.
	Envoy string `json:"envoy,omitempty"`
	Agent string `json:"agent,omitempty"`
	// Connected reports whether it watches releases now.
	Connected bool `json:"connected,omitempty"`
	// Reported is when it said so.
	Reported metav1.Time `json:"reported"`
	// Left is when it ended to watch.
	Left *metav1.Time `json:"left,omitempty"`
}

// AuditReport is the findings on the objects of one namespace, those included that
// were there before the webhook. The admit role writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=mcaudit,categories=mesh-compile
// +kubebuilder:printcolumn:name="Errors",type=integer,JSONPath=`.errors`
// +kubebuilder:printcolumn:name="Warnings",type=integer,JSONPath=`.warnings`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AuditReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Errors and Warnings in the namespace, also those that are not listed.
	Errors   int32 `json:"errors"`
	Warnings int32 `json:"warnings"`
	// Findings, the most severe first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Findings []AuditFinding `json:"findings,omitempty"`
}

// AuditReportList is a list of AuditReports.
//
// +kubebuilder:object:root=true
type AuditReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AuditReport `json:"items"`
}

// AuditFinding is one diagnostic about an object.
type AuditFinding struct {
	// Object is "Kind namespace/name", and Field the path in it.
	Object string `json:"object"`
	Field  string `json:"field,omitempty"`
	// Code of the diagnostic, which "mesh-compile explain" describes.
	Code string `json:"code"`
	// Severity of the diagnostic.
	// +kubebuilder:validation:Enum=info;warning;error;critical
	Severity string `json:"severity"`
	// Message of the diagnostic.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
	// Fix for it.
	// +kubebuilder:validation:MaxLength=1024
	Fix string `json:"fix,omitempty"`
}
