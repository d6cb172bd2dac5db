package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AuthenticationPolicy says what a workload demands of its callers' connections (mTLS)
// and of their requests (JWT).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcauthn,categories=mesh-compile
// +kubebuilder:printcolumn:name="mTLS",type=string,JSONPath=`.spec.mtls.mode`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AuthenticationPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec AuthenticationPolicySpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// AuthenticationPolicyList is a list of AuthenticationPolicies.
//
// +kubebuilder:object:root=true
type AuthenticationPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AuthenticationPolicy `json:"items"`
}

// AuthenticationPolicySpec has exactly one target: service, workload, gateway or
// namespaceWide; the nearest one to a workload wins, field by field.
//
// +kubebuilder:validation:ExactlyOneOf=service;workload;gateway;namespaceWide
// +kubebuilder:validation:AtLeastOneOf=mtls;jwt
type AuthenticationPolicySpec struct {
	// Service of this namespace.
	Service Name `json:"service,omitempty"`
	// Workload of this namespace.
	Workload Name `json:"workload,omitempty"`
	// Gateway of this namespace, by name.
	Gateway Name `json:"gateway,omitempty"`
	// NamespaceWide means every workload of the namespace.
	NamespaceWide True `json:"namespaceWide,omitempty"`
	// MTLS that the workload's proxies demand.
	MTLS *WorkloadMTLS `json:"mtls,omitempty"`
	// JWT issuers whose tokens are accepted. A token that is present and not valid
	// is refused; that one is present is demanded by AccessPolicy.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	JWT []JWTIssuer `json:"jwt,omitempty"`
}

// WorkloadMTLS is a mode for the workload and others for some of its ports.
//
// +kubebuilder:validation:AtLeastOneOf=mode;ports
type WorkloadMTLS struct {
	// Mode of every port that is not listed; the mesh's unless written.
	Mode MTLSMode `json:"mode,omitempty"`
	// Expires is required with permissive: when it must be strict again.
	Expires *Time `json:"expires,omitempty"`
	// Ports with a mode of their own.
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []PortMTLS `json:"ports,omitempty"`
}

// PortMTLS is the mode of one port.
type PortMTLS struct {
	// Port of the Service.
	Port Port `json:"port"`
	// Mode of the port.
	Mode MTLSMode `json:"mode"`
	// Expires is required with permissive: when it must be strict again.
	Expires *Time `json:"expires,omitempty"`
}

// JWTIssuer says whose tokens are accepted and how they are verified. Envoy:
// jwt_authn.JwtProvider.
type JWTIssuer struct {
	// Issuer is the token's "iss".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Issuer string `json:"issuer"`
	// Audiences, one of which the token must name. Required: a token for another
	// service must not open this one.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Audiences []string `json:"audiences"`
	// JWKS is where the keys come from.
	JWKS JWKS `json:"jwks"`
	// ClaimsToHeaders copies claims to request headers, by header name.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	ClaimsToHeaders map[string]string `json:"claimsToHeaders,omitempty"`
}

// JWKS is a key set: pinned in the document, or fetched.
//
// +kubebuilder:validation:ExactlyOneOf=inline;uri
type JWKS struct {
	// Inline is the key set itself, JSON of RFC 7517.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	Inline string `json:"inline,omitempty"`
	// URI is fetched by the proxies; its host must be a declared service.
	// +kubebuilder:validation:Pattern=`^https://`
	// +kubebuilder:validation:MaxLength=2048
	URI string `json:"uri,omitempty"`
	// CacheDuration of a fetched key set; 5m unless written.
	CacheDuration *Duration `json:"cacheDuration,omitempty"`
}
