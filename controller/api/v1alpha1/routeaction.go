package v1alpha1

// Redirect answers with a location made of the request's own URL and the fields
// that are written. Envoy: RedirectAction.
//
// +kubebuilder:validation:MinProperties=1
type Redirect struct {
	// Scheme of the location.
	// +kubebuilder:validation:Enum=http;https
	Scheme string `json:"scheme,omitempty"`
	// Host of the location.
	Host Host `json:"host,omitempty"`
	// Port of the location; the scheme's own unless written.
	Port *Port `json:"port,omitempty"`
	// Path of the location.
	Path *PathRewrite `json:"path,omitempty"`
	// Status of the answer; 301 unless written.
	// +kubebuilder:validation:Enum=301;302;303;307;308
	Status *int32 `json:"status,omitempty"`
}

// Respond is an answer that the proxy gives itself. Envoy: DirectResponseAction.
type Respond struct {
	// Status of the answer.
	Status Status `json:"status"`
	// Body of the answer, as it is.
	// +kubebuilder:validation:MaxLength=65536
	Body string `json:"body,omitempty"`
	// Headers of the answer by lower-case name.
	Headers HeaderValues `json:"headers,omitempty"`
}

// HeaderValues holds header values by lower-case name. A % is itself and starts
// no Envoy format command.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=64
type HeaderValues map[string]HeaderValue

// HeaderValue is a header's value, taken literally.
//
// +kubebuilder:validation:MaxLength=4096
type HeaderValue string

// Rewrite changes the request that the destination receives.
//
// +kubebuilder:validation:MinProperties=1
type Rewrite struct {
	// Path of the request.
	Path *PathRewrite `json:"path,omitempty"`
	// Host header of the request. Envoy: RouteAction.host_rewrite_literal.
	Host Host `json:"host,omitempty"`
}

// PathRewrite replaces the whole path, the matched prefix, or what an expression
// matches. The query stays.
//
// +kubebuilder:validation:ExactlyOneOf=full;prefix;regex
type PathRewrite struct {
	// Full is the new path.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	Full string `json:"full,omitempty"`
	// Prefix takes the place of the prefix that the rule matched, which must
	// therefore match by prefix.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	Prefix string `json:"prefix,omitempty"`
	// Regex replaces every part that it matches.
	Regex *RegexRewrite `json:"regex,omitempty"`
}

// RegexRewrite is a replacement by expression. Envoy: RegexMatchAndSubstitute.
type RegexRewrite struct {
	// Pattern is an RE2 expression.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Pattern string `json:"pattern"`
	// Substitution may name groups as \1 to \9.
	// +kubebuilder:validation:MaxLength=1024
	Substitution string `json:"substitution"`
}

// HeaderChanges are made in the order remove, set, add.
//
// +kubebuilder:validation:MinProperties=1
type HeaderChanges struct {
	// Set replaces a header, or makes it.
	Set HeaderValues `json:"set,omitempty"`
	// Add appends a value to a header, or makes it.
	Add HeaderValues `json:"add,omitempty"`
	// Remove takes headers away, by lower-case name.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Remove []string `json:"remove,omitempty"`
}

// Retry repeats a failed request. Envoy: RetryPolicy.
type Retry struct {
	// Attempts after the first request; 0 is none. Envoy: num_retries.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=20
	Attempts int32 `json:"attempts"`
	// PerTryTimeout of each attempt; shorter than the rule's timeout.
	PerTryTimeout *Duration `json:"perTryTimeout,omitempty"`
	// Conditions under which a request is repeated. With neither conditions nor
	// statuses: connect-failure, refused-stream and reset-before-request, which an
	// endpoint has not seen. Where the destination has a sidecar, an application
	// that cuts its connection is an answer of 503, which reset does not see:
	// write statuses: [503].
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Conditions []RetryCondition `json:"conditions,omitempty"`
	// Statuses of an answer that is not accepted.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Statuses []Status `json:"statuses,omitempty"`
	// Methods that are repeated; the idempotent ones of RFC 9110 (GET, HEAD,
	// OPTIONS, TRACE, PUT, DELETE) unless written. Envoy: retriable_request_headers.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Methods []Method `json:"methods,omitempty"`
	// Backoff between attempts; Envoy's 25ms to 250ms unless written.
	Backoff *Backoff `json:"backoff,omitempty"`
	// AvoidPreviousHosts sends a repetition to an endpoint that has not failed it.
	AvoidPreviousHosts *bool `json:"avoidPreviousHosts,omitempty"`
}

// RetryCondition is one of Envoy's retry_on and grpc_retry_on words.
//
// +kubebuilder:validation:Enum=connect-failure;refused-stream;reset-before-request;reset;gateway-error;5xx;retriable-4xx;cancelled;deadline-exceeded;internal;resource-exhausted;unavailable
type RetryCondition string

// Backoff is exponential with jitter. Envoy: RetryPolicy.retry_back_off.
type Backoff struct {
	// Base is the first interval.
	Base Duration `json:"base"`
	// Max is the longest interval; ten times Base unless written.
	Max *Duration `json:"max,omitempty"`
}

// Mirror sends a copy of a share of the requests. Envoy: RequestMirrorPolicy.
type Mirror struct {
	// Service that receives the copy; the route's own unless written.
	Service Name `json:"service,omitempty"`
	// Namespace of the service; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Port of the service, where it has several.
	Port *Port `json:"port,omitempty"`
	// Version of the service.
	Version VersionName `json:"version,omitempty"`
	// Percent of the requests that are copied.
	Percent Percent `json:"percent"`
}

// CORS is the cross-origin policy of the matched requests. Envoy: CorsPolicy.
type CORS struct {
	// AllowOrigins are the origins that may read answers.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	AllowOrigins []ValueMatch `json:"allowOrigins"`
	// AllowMethods that a preflight grants.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	AllowMethods []Method `json:"allowMethods,omitempty"`
	// AllowHeaders that a preflight grants.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	AllowHeaders []string `json:"allowHeaders,omitempty"`
	// ExposeHeaders that scripts may read.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`
	// AllowCredentials lets browsers send cookies; never with an origin that
	// matches everything.
	AllowCredentials *bool `json:"allowCredentials,omitempty"`
	// MaxAge for which a preflight's answer may be kept.
	MaxAge *Duration `json:"maxAge,omitempty"`
}

// Fault hurts a share of the requests on purpose. Envoy: HTTPFault.
//
// +kubebuilder:validation:AtLeastOneOf=delay;abort
type Fault struct {
	// Delay before the request is sent on.
	Delay *FaultDelay `json:"delay,omitempty"`
	// Abort answers instead of the destination.
	Abort *FaultAbort `json:"abort,omitempty"`
	// Expires is when the fault must be gone from the repository.
	Expires Time `json:"expires"`
}

// FaultDelay delays a share of the requests.
type FaultDelay struct {
	// Percent of the requests that are delayed.
	Percent Percent `json:"percent"`
	// Duration of the delay.
	Duration Duration `json:"duration"`
}

// FaultAbort answers a share of the requests with an error.
//
// +kubebuilder:validation:ExactlyOneOf=status;grpcStatus
type FaultAbort struct {
	// Percent of the requests that are aborted.
	Percent Percent `json:"percent"`
	// Status of HTTP.
	Status *Status `json:"status,omitempty"`
	// GRPCStatus is the code by number: 14 is UNAVAILABLE.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	GRPCStatus *int32 `json:"grpcStatus,omitempty"`
}

// Sticky keeps a caller on its version by something that the caller repeats.
// Envoy: RouteAction.hash_policy with WeightedCluster.use_hash_policy.
//
// +kubebuilder:validation:ExactlyOneOf=header;cookie;sourceIP
type Sticky struct {
	// Header whose value identifies the caller, in lower case.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Header string `json:"header,omitempty"`
	// Cookie that identifies the caller; made where it is missing.
	Cookie *HashCookie `json:"cookie,omitempty"`
	// SourceIP is the peer's address.
	SourceIP True `json:"sourceIP,omitempty"`
}

// HashCookie is a cookie that the proxy makes where the caller has none.
type HashCookie struct {
	// Name of the cookie.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name"`
	// TTL of a cookie that the proxy makes; a session cookie unless written.
	TTL *Duration `json:"ttl,omitempty"`
	// Path of a cookie that the proxy makes.
	// +kubebuilder:validation:MaxLength=4096
	Path string `json:"path,omitempty"`
	// Attributes of a cookie that the proxy makes, such as SameSite: Lax; one
	// without a value, such as Secure, is "".
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	Attributes map[string]CookieAttribute `json:"attributes,omitempty"`
}

// CookieAttribute is the value of a cookie's attribute.
//
// +kubebuilder:validation:MaxLength=256
type CookieAttribute string
