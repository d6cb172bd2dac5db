package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RateLimitPolicy says how many requests a service or workload takes. The proxy of the
// callee counts, so that no caller gets round it; what is beyond a limit is answered 429
// (gRPC: RESOURCE_EXHAUSTED). Requests that access policies deny are not counted. A
// service and a workload have at most one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mclimit,categories=mesh-compile
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RateLimitPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec RateLimitPolicySpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// RateLimitPolicyList is a list of RateLimitPolicies.
//
// +kubebuilder:object:root=true
type RateLimitPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RateLimitPolicy `json:"items"`
}

// RateLimitPolicySpec has exactly one target: service or workload.
//
// +kubebuilder:validation:ExactlyOneOf=service;workload
type RateLimitPolicySpec struct {
	// Service of this namespace.
	Service Name `json:"service,omitempty"`
	// Workload of this namespace: every port of it that speaks HTTP.
	Workload Name `json:"workload,omitempty"`
	// Limits that a request must all keep to.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Limits []RateLimit `json:"limits"`
}

// RateLimit is a number of requests in a time.
type RateLimit struct {
	// Name of the limit, unique in the policy. A rate-limit service sees it as the
	// descriptor entry "limit", after "policy" (namespace/name).
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Requests that are let through in each unit of time, spread over it evenly.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Requests int32 `json:"requests"`
	// Per is the unit of time.
	// +kubebuilder:validation:Enum=second;minute;hour;day
	Per string `json:"per"`
	// Burst is how many requests may come at once after a pause; as many as requests
	// unless written. Not with global, where the service decides.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Burst *int32 `json:"burst,omitempty"`
	// Rule of the service's MeshRoute: only requests that it matches count, as they
	// arrive at the service. Every request unless written.
	Rule RuleName `json:"rule,omitempty"`
	// By says who has a count of its own; all callers share one unless written.
	By *RateLimitKey `json:"by,omitempty"`
	// Global counts over all proxies by a rate-limit service. Unless written, each proxy
	// of the service counts on its own.
	Global *GlobalRateLimit `json:"global,omitempty"`
}

// RateLimitKey is what tells counts apart; with several fields, each combination.
//
// +kubebuilder:validation:MinProperties=1
type RateLimitKey struct {
	// Caller is the identity in the caller's certificate. Callers without one share a
	// count.
	Caller True `json:"caller,omitempty"`
	// Header of the request, of whose value the first 128 bytes count. Requests without
	// it share a count.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Header string `json:"header,omitempty"`
	// RemoteAddress is the IP address that the connection comes from, not what
	// x-forwarded-for says.
	RemoteAddress True `json:"remoteAddress,omitempty"`
}

// GlobalRateLimit asks a rate-limit service.
type GlobalRateLimit struct {
	// Provider is a name of the Mesh's spec.providers.rateLimits.
	Provider Name `json:"provider"`
	// OnUnavailable decides where the service does not answer in time; deny (500) unless
	// written.
	OnUnavailable Access `json:"onUnavailable,omitempty"`
}
