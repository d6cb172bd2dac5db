package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Release is one compiled state of the policies: what it was made from, its
// signature, and how far it has spread. Its content is in the release store. The
// controller writes Releases; people read them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcrelease,categories=mesh-compile
// +kubebuilder:printcolumn:name="Sequence",type=integer,JSONPath=`.status.sequence`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.rollout.phase`
// +kubebuilder:printcolumn:name="Current",type=integer,JSONPath=`.status.proxies.current`
// +kubebuilder:printcolumn:name="Proxies",type=integer,JSONPath=`.status.proxies.total`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.proxies.failed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Release struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec never changes.
	Spec ReleaseSpec `json:"spec"`
	// Status is the signature and the rollout.
	Status ReleaseStatus `json:"status,omitempty"`
}

// ReleaseList is a list of Releases.
//
// +kubebuilder:object:root=true
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}

// ReleaseSpec is what was compiled.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a Release never changes: make another"
type ReleaseSpec struct {
	// Sync is the PolicySync that it comes from.
	Sync Name `json:"sync"`
	// Revision of the sources: "main@sha1:<commit>", joined by ";" where there are
	// several.
	// +kubebuilder:validation:MaxLength=4096
	Revision string `json:"revision"`
	// Commit of the first source that is a git repository.
	// +kubebuilder:validation:MaxLength=128
	Commit string `json:"commit,omitempty"`
	// Content is the digest by which the release store knows the content.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Content string `json:"content"`
	// Accepted is the digest by which the release store knows the objects of the
	// cluster that the content was made of: what stays in force of an object that is
	// quarantined later.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Accepted string `json:"accepted,omitempty"`
	// Envelope is the signature of a release that was signed in CI: DSSE JSON.
	// +kubebuilder:validation:MaxLength=87384
	Envelope []byte `json:"envelope,omitempty"`
	// Audience and Validity are what the sign role writes into the document.
	Audience *Audience `json:"audience,omitempty"`
	// Validity of the signature.
	Validity *Duration `json:"validity,omitempty"`
	// Rollout of this release.
	Rollout *RolloutSettings `json:"rollout,omitempty"`
	// ReturnTo is the Release whose content this one brings back after a failed
	// rollout.
	ReturnTo Name `json:"returnTo,omitempty"`
	// Workloads in it.
	Workloads int32 `json:"workloads,omitempty"`
	// Diagnostics that did not refuse it.
	Diagnostics *DiagnosticsSummary `json:"diagnostics,omitempty"`
}

// ReleaseStatus is written by two roles: sign owns Signature, reconcile the rest.
type ReleaseStatus struct {
	// ObservedGeneration is the generation that the conditions judge.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Sequence, for people and columns; what counts is in the envelope.
	Sequence int64 `json:"sequence,omitempty"`
	// Signature is the signed document.
	Signature *ReleaseSignature `json:"signature,omitempty"`
	// Rollout is how far it has spread.
	Rollout *RolloutStatus `json:"rollout,omitempty"`
	// Proxies by what they run.
	Proxies *ProxyCounts `json:"proxies,omitempty"`
	// Conditions: Ready, and Signed, RolledOut, Reconciling, Stalled.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ReleaseSignature is what the sign role made.
type ReleaseSignature struct {
	// Envelope is the signed release document: DSSE JSON.
	// +kubebuilder:validation:MaxLength=87384
	Envelope []byte `json:"envelope"`
	// Sequence in the document.
	Sequence int64 `json:"sequence"`
	// Digest of the document.
	Digest string `json:"digest"`
	// Expires is when the signature ends.
	Expires metav1.Time `json:"expires"`
}

// RolloutStatus is where a rollout stands.
type RolloutStatus struct {
	// Phase of the rollout.
	// +kubebuilder:validation:Enum=Pending;Progressing;Paused;Complete;Halted;Superseded
	Phase RolloutPhase `json:"phase"`
	// Wave that is under way, from 1; Waves is how many there are.
	Wave  int32 `json:"wave,omitempty"`
	Waves int32 `json:"waves,omitempty"`
	// Since when the wave has been under way, or its pause.
	Since metav1.Time `json:"since,omitzero"`
	// Message says why it is halted.
	Message string `json:"message,omitempty"`
}

// RolloutPhase of a Release.
type RolloutPhase string

// Phases. Pending is not signed yet; Superseded gave way to a newer release before
// it was complete.
const (
	RolloutPending     RolloutPhase = "Pending"
	RolloutProgressing RolloutPhase = "Progressing"
	RolloutPaused      RolloutPhase = "Paused"
	RolloutComplete    RolloutPhase = "Complete"
	RolloutHalted      RolloutPhase = "Halted"
	RolloutSuperseded  RolloutPhase = "Superseded"
)

// ProxyCounts are proxies by what they run.
type ProxyCounts struct {
	// Total that report.
	Total int32 `json:"total"`
	// Current run this release.
	Current int32 `json:"current"`
	// Failed refused or rejected it.
	Failed int32 `json:"failed"`
	// Drifted run something else than what was delivered to them.
	Drifted int32 `json:"drifted,omitempty"`
}
