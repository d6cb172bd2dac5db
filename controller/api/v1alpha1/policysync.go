package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PolicySync says where the policies of the mesh come from, and how their releases
// reach the proxies. The controller's namespace has one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcsync,categories=mesh-compile
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.status.liveRelease`
// +kubebuilder:printcolumn:name="Sequence",type=integer,JSONPath=`.status.sequence`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.lastAppliedRevision`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PolicySync struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec PolicySyncSpec `json:"spec"`
	// Status is what the controller reports.
	Status PolicySyncStatus `json:"status,omitempty"`
}

// PolicySyncList is a list of PolicySyncs.
//
// +kubebuilder:object:root=true
type PolicySyncList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicySync `json:"items"`
}

// PolicySyncSpec has either sources, which are compiled here and signed by the sign
// role, or a release that was signed in CI, which nobody here could have made.
//
// +kubebuilder:validation:ExactlyOneOf=sources;release
type PolicySyncSpec struct {
	// Interval at which everything is looked at again without a reason.
	Interval Duration `json:"interval"`
	// Timeout of one attempt; 1m unless written.
	Timeout *Duration `json:"timeout,omitempty"`
	// RetryInterval after a failure that may pass; the interval unless written.
	RetryInterval *Duration `json:"retryInterval,omitempty"`
	// Suspend stops reconciliation; what is live stays live.
	Suspend bool `json:"suspend,omitempty"`
	// DependsOn are Flux objects, such as Kustomizations, that must be Ready first.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// Sources are compiled together, as directories of one repository.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Sources []PolicySource `json:"sources,omitempty"`
	// Release is one that was compiled and signed in CI.
	Release *ReleaseSource `json:"release,omitempty"`
	// Namespace of objects that name none; "default" unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Set gives values to the placeholders ${VAR} and $(VAR).
	// +kubebuilder:validation:MaxProperties=64
	Set map[string]string `json:"set,omitempty"`
	// Audience of the releases that are signed here. With a release that comes signed,
	// the environment and clusters that agents here are configured for: one that is not
	// for all of them is refused.
	Audience *Audience `json:"audience,omitempty"`
	// Validity of the releases that are signed here; 90 days (2160h) unless written,
	// at most what the root document allows. They are signed again half way.
	Validity *Duration `json:"validity,omitempty"`
	// Rollout of a new release; to all proxies at once unless written.
	Rollout *RolloutSettings `json:"rollout,omitempty"`
	// Artifact publishes the policy documents, evaluated to YAML, as a Flux
	// ExternalArtifact of this name in the same namespace. It needs sources.
	Artifact *ArtifactSettings `json:"artifact,omitempty"`
	// HistoryLimit is how many complete Releases are kept; 10 unless written.
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000
	HistoryLimit *int32 `json:"historyLimit,omitempty"`
}

// Dependency is a Flux object that must be Ready.
type Dependency struct {
	// APIVersion of the object; kustomize.toolkit.fluxcd.io/v1 unless written.
	// +kubebuilder:validation:MaxLength=253
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object; Kustomization unless written.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// Name of the object.
	Name Name `json:"name"`
	// Namespace of the object; the PolicySync's own unless written.
	Namespace Name `json:"namespace,omitempty"`
}

// PolicySource is one part of the policies.
//
// +kubebuilder:validation:ExactlyOneOf=sourceRef;cluster
type PolicySource struct {
	// Name of the source: the directory below which its files are shown.
	Name Name `json:"name"`
	// SourceRef is a Flux source, whose artifact is a policy repository.
	SourceRef *SourceRef `json:"sourceRef,omitempty"`
	// Path of the policies in the artifact; its root unless written.
	// +kubebuilder:validation:Pattern=`^[^/\x00].*$`
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
	// Cluster is the objects of this cluster.
	Cluster *ClusterSource `json:"cluster,omitempty"`
	// OnError says what an error does: "refuse" keeps the whole last release,
	// "quarantine" keeps the last accepted version of the object that has it. A
	// sourceRef refuses, and cluster objects are quarantined, unless written.
	OnError OnError `json:"onError,omitempty"`
}

// OnError is refuse or quarantine.
//
// +kubebuilder:validation:Enum=refuse;quarantine
type OnError string

// Values of OnError.
const (
	OnErrorRefuse     OnError = "refuse"
	OnErrorQuarantine OnError = "quarantine"
)

// SourceRef names a Flux source.
type SourceRef struct {
	// Kind of the source.
	// +kubebuilder:validation:Enum=GitRepository;OCIRepository;Bucket;ExternalArtifact
	Kind string `json:"kind"`
	// Name of the source.
	Name Name `json:"name"`
	// Namespace of the source; the PolicySync's own unless written.
	Namespace Name `json:"namespace,omitempty"`
}

// ClusterSource is the objects of this cluster that the compiler reads.
type ClusterSource struct {
	// NamespaceSelector says by labels which namespaces; all unless written, but for
	// those that Kubernetes and this controller run in.
	NamespaceSelector *LabelSelector `json:"namespaceSelector,omitempty"`
	// Kinds says which objects: policies, facts (Services, Deployments, StatefulSets,
	// ServiceAccounts, Namespaces) or all of these; all unless written.
	// +kubebuilder:validation:Enum=policies;facts;all
	Kinds string `json:"kinds,omitempty"`
}

// LabelSelector selects by labels, as Kubernetes' selectors do: everything it says
// must hold.
//
// +kubebuilder:validation:MinProperties=1
type LabelSelector struct {
	// MatchLabels are labels with their values.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// MatchExpressions are further conditions.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	MatchExpressions []LabelRequirement `json:"matchExpressions,omitempty"`
}

// LabelRequirement is a condition on one label.
type LabelRequirement struct {
	// Key of the label.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key"`
	// Operator of the condition.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator string `json:"operator"`
	// Values of In and NotIn.
	// +kubebuilder:validation:MaxItems=64
	Values []string `json:"values,omitempty"`
}

// Selector returns the selector in Kubernetes' type; nil selects everything.
func (s *LabelSelector) Selector() *metav1.LabelSelector {
	out := &metav1.LabelSelector{}
	if s == nil {
		return out
	}
	out.MatchLabels = s.MatchLabels
	for _, r := range s.MatchExpressions {
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: r.Key, Operator: metav1.LabelSelectorOperator(r.Operator), Values: r.Values,
		})
	}
	return out
}

// ReleaseSource is where a signed release comes from.
//
// +kubebuilder:validation:ExactlyOneOf=sourceRef;oci
type ReleaseSource struct {
	// SourceRef is a Flux source whose artifact is a release's directory.
	SourceRef *SourceRef `json:"sourceRef,omitempty"`
	// OCI is a release that "mesh-compile push" put into a registry.
	OCI *OCIRelease `json:"oci,omitempty"`
}

// OCIRelease is an artifact in a registry. Credentials are a mounted file.
//
// +kubebuilder:validation:ExactlyOneOf=tag;digest
type OCIRelease struct {
	// URL of the repository: "oci://registry.example/team/release".
	// +kubebuilder:validation:Pattern=`^oci://[^/]+/.+$`
	// +kubebuilder:validation:MaxLength=1024
	URL string `json:"url"`
	// Tag that moves with each release.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`
	Tag string `json:"tag,omitempty"`
	// Digest of one artifact.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`
	// Insecure speaks plain HTTP with the registry. What comes is verified all the
	// same.
	Insecure bool `json:"insecure,omitempty"`
}

// Audience is who a release is for.
type Audience struct {
	// Environment that agents must be configured for.
	// +kubebuilder:validation:MaxLength=253
	Environment string `json:"environment,omitempty"`
	// Clusters that agents must be configured for; any unless written.
	// +kubebuilder:validation:MaxItems=64
	Clusters []Name `json:"clusters,omitempty"`
}

// RolloutSettings say how a new release spreads over the proxies.
type RolloutSettings struct {
	// Waves in order, each a larger part of the workloads. All of them follow the
	// last wave.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Waves []RolloutWave `json:"waves"`
	// Deadline of each wave: proxies that have not answered by then are a failure;
	// 5m unless written.
	Deadline *Duration `json:"deadline,omitempty"`
	// MaxFailed is how many proxies of a wave may refuse or reject the release, or
	// miss the deadline, before the rollout is halted; 0 unless written. Proxies whose
	// workload the release does not change do not count.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	MaxFailed *int32 `json:"maxFailed,omitempty"`
	// OnFailure is "halt" (the next waves keep what they have) or "return" (the last
	// complete release is signed again for everybody, once it failed in each namespace
	// that it changed so far; otherwise, and for releases signed in CI, it halts). Halt
	// unless written.
	// +kubebuilder:validation:Enum=halt;return
	OnFailure string `json:"onFailure,omitempty"`
}

// RolloutWave is a part of the workloads.
//
// +kubebuilder:validation:ExactlyOneOf=workloads;percent
type RolloutWave struct {
	// Workloads by name, namespace/name; "namespace/*" is all of a namespace.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Workloads []WorkloadPattern `json:"workloads,omitempty"`
	// Percent of all workloads, chosen by a hash of their names.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// Pause after every proxy of the wave runs the release; none unless written.
	Pause *Duration `json:"pause,omitempty"`
}

// WorkloadPattern is "namespace/name" or "namespace/*".
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?/([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\*)$`
// +kubebuilder:validation:MaxLength=320
type WorkloadPattern string

// ArtifactSettings name the ExternalArtifact that is written.
type ArtifactSettings struct {
	// Name of the ExternalArtifact.
	Name Name `json:"name"`
}

// PolicySyncStatus follows the GitOps Toolkit's conventions, so that kstatus, Flux
// and Argo CD understand it.
type PolicySyncStatus struct {
	// ObservedGeneration is the generation that was last brought to Ready or Stalled.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// LastHandledReconcileAt is the value of the annotation
	// reconcile.fluxcd.io/requestedAt that was last acted on.
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	// LastAttemptedRevision of the sources, whether it became live or not.
	LastAttemptedRevision string `json:"lastAttemptedRevision,omitempty"`
	// LastAppliedRevision is the revision of the live release.
	LastAppliedRevision string `json:"lastAppliedRevision,omitempty"`
	// LiveRelease is the name of the newest signed Release.
	LiveRelease string `json:"liveRelease,omitempty"`
	// Sequence of the live release.
	Sequence int64 `json:"sequence,omitempty"`
	// Diagnostics of the last attempt.
	Diagnostics *DiagnosticsSummary `json:"diagnostics,omitempty"`
	// Quarantined objects, whose last accepted version is in force; those that come
	// first where there are more.
	// +kubebuilder:validation:MaxItems=100
	Quarantined []QuarantinedObject `json:"quarantined,omitempty"`
	// Conditions: Ready always; Reconciling and Stalled only while True;
	// SourceVerified where a CI signature was checked.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DiagnosticsSummary is what a compilation found, bounded.
type DiagnosticsSummary struct {
	// Errors that refuse a release, critical ones included.
	Errors int32 `json:"errors"`
	// Warnings that do not.
	Warnings int32 `json:"warnings"`
	// Waived findings.
	Waived int32 `json:"waived,omitempty"`
	// First findings as lint prints them, the most severe first, each at most 1 KiB.
	// +kubebuilder:validation:MaxItems=20
	First []string `json:"first,omitempty"`
}

// QuarantinedObject is an object of the cluster that has an error, or that is held back
// for the error of another.
type QuarantinedObject struct {
	// Object is "Kind namespace/name".
	Object string `json:"object"`
	// Message of the first error in it, or why else it is held back.
	Message string `json:"message"`
	// InForce is the resourceVersion that is compiled in its place; "" where it never
	// had an accepted version, and is left out.
	InForce string `json:"inForce,omitempty"`
}
