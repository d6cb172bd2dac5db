package v1alpha1

// PathMatch matches the request's path, without the query, after normalization.
//
// +kubebuilder:validation:ExactlyOneOf=exact;prefix;template;regex
type PathMatch struct {
	// Exact is the whole path. Envoy: RouteMatch.path.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	Exact string `json:"exact,omitempty"`
	// Prefix matches whole segments: "/search" matches /search and /search/x, not
	// /searches. Envoy: RouteMatch.path_separated_prefix.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	Prefix string `json:"prefix,omitempty"`
	// Template has one {name} for one segment and {name=**} for the rest:
	// "/charges/{id}/refund". Envoy: path_match_policy with uri_template.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	Template string `json:"template,omitempty"`
	// Regex is an RE2 expression over the whole path. Envoy: RouteMatch.safe_regex.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Regex string `json:"regex,omitempty"`
}

// ValueMatch matches the value of a header, query parameter or cookie. A value
// that is absent matches nothing, except with invert.
//
// +kubebuilder:validation:ExactlyOneOf=exact;prefix;suffix;contains;regex;present
type ValueMatch struct {
	// Exact is the whole value. A pointer, because the empty value is one.
	// +kubebuilder:validation:MaxLength=4096
	Exact *string `json:"exact,omitempty"`
	// Prefix is how the value begins.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Prefix string `json:"prefix,omitempty"`
	// Suffix is how the value ends.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Suffix string `json:"suffix,omitempty"`
	// Contains is a part of the value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Contains string `json:"contains,omitempty"`
	// Regex is an RE2 expression over the whole value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Regex string `json:"regex,omitempty"`
	// Present matches any value.
	Present True `json:"present,omitempty"`
	// Invert turns the match round; it then also matches when the value is absent.
	// Envoy: HeaderMatcher.invert_match with treat_missing_header_as_empty false.
	Invert True `json:"invert,omitempty"`
}

// ValueMatches holds matches by lower-case name; all must match.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=16
type ValueMatches map[string]ValueMatch

// GRPCMatch matches a gRPC call. With service alone, every method of it.
type GRPCMatch struct {
	// Service is the full name: "shop.v1.Catalog".
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_.]*$`
	// +kubebuilder:validation:MaxLength=512
	Service string `json:"service"`
	// Method of the service.
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:MaxLength=256
	Method string `json:"method,omitempty"`
}

// From says who calls. Values of one list alternate; different fields must all
// match; another alternative is another entry. It is never empty.
//
// +kubebuilder:validation:MinProperties=1
type From struct {
	// ServiceAccounts are callers of this mesh by their identity.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	ServiceAccounts []ServiceAccountRef `json:"serviceAccounts,omitempty"`
	// Namespaces whose every identity is meant.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Namespaces []Name `json:"namespaces,omitempty"`
	// Principals are SPIFFE IDs of foreign trust domains.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Principals []SPIFFEID `json:"principals,omitempty"`
	// IPBlocks match the peer's address, which a proxy in between replaces.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	IPBlocks []CIDR `json:"ipBlocks,omitempty"`
	// RemoteIPBlocks match the original client's address, from the trusted part of
	// x-forwarded-for.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	RemoteIPBlocks []CIDR `json:"remoteIpBlocks,omitempty"`
	// JWT are verified tokens, as an AuthenticationPolicy accepts them.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	JWT []JWTRef `json:"jwt,omitempty"`
	// Meshed is any caller with an identity of this mesh.
	Meshed True `json:"meshed,omitempty"`
	// Anyone is every caller, also without identity. It stands alone.
	Anyone True `json:"anyone,omitempty"`
}

// ServiceAccountRef names an identity of this mesh.
type ServiceAccountRef struct {
	// Name of the ServiceAccount.
	Name Name `json:"name"`
	// Namespace of the ServiceAccount; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
}

// JWTRef matches a verified token.
type JWTRef struct {
	// Issuer is the token's "iss".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Issuer string `json:"issuer"`
	// Claims by name; a claim must have one of the values, and all claims must
	// match.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Claims map[string]ClaimValues `json:"claims,omitempty"`
}

// ClaimValues are the accepted values of one claim.
//
// +kubebuilder:validation:MinItems=1
// +kubebuilder:validation:MaxItems=64
// +kubebuilder:validation:items:MaxLength=1024
type ClaimValues []string

// To says what is called. Values of one list alternate; different fields must all
// match. It is never empty.
//
// +kubebuilder:validation:MinProperties=1
type To struct {
	// Ports of the Service.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []Port `json:"ports,omitempty"`
	// Methods of HTTP; an error on a TCP port, as all fields below.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Methods []Method `json:"methods,omitempty"`
	// Paths, as in a route.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Paths []PathMatch `json:"paths,omitempty"`
	// Hosts are values of the Host or :authority header, without port.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Hosts []Host `json:"hosts,omitempty"`
	// Headers by lower-case name; all must match.
	Headers ValueMatches `json:"headers,omitempty"`
	// Anything is every request to the target. It stands alone.
	Anything True `json:"anything,omitempty"`
}

// Except takes away from a rule. A caller without identity is never excepted.
//
// +kubebuilder:validation:MinProperties=1
type Except struct {
	// From names the callers that the rule does not mean.
	From *From `json:"from,omitempty"`
	// To names the requests that the rule does not mean.
	To *To `json:"to,omitempty"`
}
