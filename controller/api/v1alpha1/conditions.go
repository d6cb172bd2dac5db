package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of PolicySync and Release. Ready is always there; Reconciling and
// Stalled are there only while they are True, as kstatus expects.
const (
	ConditionReady          = "Ready"
	ConditionReconciling    = "Reconciling"
	ConditionStalled        = "Stalled"
	ConditionSourceVerified = "SourceVerified"
	ConditionSigned         = "Signed"
	ConditionRolledOut      = "RolledOut"
)

// Conditions of policy objects in the cluster, written where it is their source.
const (
	ConditionAccepted = "Accepted"
)

// Reasons of conditions and events.
const (
	ReasonSucceeded          = "Succeeded"
	ReasonProgressingRetry   = "ProgressingWithRetry"
	ReasonConflict           = "Conflict"           // another PolicySync has the mesh
	ReasonDependencyNotReady = "DependencyNotReady" //
	ReasonSourceNotReady     = "SourceNotReady"     // the Flux source has no artifact
	ReasonFetchFailed        = "FetchFailed"
	ReasonVerificationFailed = "VerificationFailed" // a signature or digest is wrong
	ReasonPoliciesRefused    = "PoliciesRefused"    // errors in the policies
	ReasonCompileFailed      = "CompileFailed"      // a bug of ours, or a limit
	ReasonStoreFailed        = "StoreFailed"
	ReasonArtifactFailed     = "ArtifactFailed" // the ExternalArtifact cannot be made
	ReasonAwaitingSignature  = "AwaitingSignature"
	ReasonSigningFailed      = "SigningFailed"
	ReasonRollingOut         = "RollingOut"
	ReasonRolloutHalted      = "RolloutHalted"
	ReasonReturned           = "Returned" // a failed rollout went back
	ReasonQuarantined        = "Quarantined"
	ReasonAccepted           = "Accepted"
)

// GetConditions returns the conditions for Flux's helpers.
func (p *PolicySync) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions replaces the conditions.
func (p *PolicySync) SetConditions(c []metav1.Condition) { p.Status.Conditions = c }

// GetConditions returns the conditions for Flux's helpers.
func (r *Release) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions.
func (r *Release) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }
