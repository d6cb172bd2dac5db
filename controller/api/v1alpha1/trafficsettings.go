package v1alpha1

// LoadBalancing chooses an endpoint for each request. Envoy: Cluster.lb_policy.
//
// +kubebuilder:validation:MinProperties=1
type LoadBalancing struct {
	// Policy of the choice; least-request unless written.
	Policy LoadBalancingPolicy `json:"policy,omitempty"`
	// Hash says what ring-hash and maglev hash, in order; required with them.
	// Envoy: RouteAction.hash_policy.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Hash []Hash `json:"hash,omitempty"`
	// SlowStart lets a new endpoint's share grow.
	SlowStart *SlowStart `json:"slowStart,omitempty"`
	// Locality of endpoints in the choice.
	Locality *LocalityBalancing `json:"locality,omitempty"`
	// PanicThreshold is the share of healthy endpoints below which health is
	// ignored; Envoy's 50 unless written, 0 never. Envoy: healthy_panic_threshold.
	PanicThreshold *Percent `json:"panicThreshold,omitempty"`
}

// LoadBalancingPolicy is a way to choose an endpoint.
//
// +kubebuilder:validation:Enum=round-robin;least-request;random;ring-hash;maglev
type LoadBalancingPolicy string

// Values of LoadBalancingPolicy.
const (
	RoundRobin   LoadBalancingPolicy = "round-robin"
	LeastRequest LoadBalancingPolicy = "least-request"
	Random       LoadBalancingPolicy = "random"
	RingHash     LoadBalancingPolicy = "ring-hash"
	Maglev       LoadBalancingPolicy = "maglev"
)

// Hash is one property of the request that is hashed.
//
// +kubebuilder:validation:ExactlyOneOf=header;cookie;query;sourceIP
type Hash struct {
	// Header in lower case.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Header string `json:"header,omitempty"`
	// Cookie; made where it is missing.
	Cookie *HashCookie `json:"cookie,omitempty"`
	// Query is a query parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Query string `json:"query,omitempty"`
	// SourceIP is the peer's address: of the calling application, which with capture
	// none is the same for all.
	SourceIP True `json:"sourceIP,omitempty"`
}

// SlowStart is for round-robin and least-request. Envoy: SlowStartConfig.
type SlowStart struct {
	// Window in which a new endpoint reaches its full share.
	Window Duration `json:"window"`
	// MinWeightPercent is the share with which it begins; 10 unless written.
	MinWeightPercent *Percent `json:"minWeightPercent,omitempty"`
}

// LocalityBalancing prefers near endpoints, or spreads by weight.
//
// +kubebuilder:validation:ExactlyOneOf=nearest;failover;weights
type LocalityBalancing struct {
	// Nearest prefers the caller's zone, then its region, then the others. What is
	// less near gets requests as the nearer becomes unhealthy.
	Nearest True `json:"nearest,omitempty"`
	// Failover is nearest, with the regions to which the callers of a region go
	// first, in this order.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Failover []RegionFailover `json:"failover,omitempty"`
	// Weights of localities, "region" or "region/zone", summing to 100. Endpoints of
	// other localities get no requests.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	Weights map[string]LocalityWeight `json:"weights,omitempty"`
}

// LocalityWeight is a locality's share of 100.
//
// +kubebuilder:validation:Minimum=0
// +kubebuilder:validation:Maximum=100
type LocalityWeight int32

// RegionFailover says where the callers of a region go when it has no healthy
// endpoint.
type RegionFailover struct {
	// From is the caller's region.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	From string `json:"from"`
	// To is the region that takes over.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	To string `json:"to"`
}

// Connections bounds and tunes connections to the endpoints.
//
// +kubebuilder:validation:MinProperties=1
type Connections struct {
	// ConnectTimeout of a TCP connection; 5s unless written. Envoy:
	// Cluster.connect_timeout.
	ConnectTimeout *Duration `json:"connectTimeout,omitempty"`
	// IdleTimeout closes a connection without requests; 1h unless written. Envoy:
	// HttpProtocolOptions.idle_timeout.
	IdleTimeout *Duration `json:"idleTimeout,omitempty"`
	// MaxDuration closes a connection however busy it is. Envoy:
	// HttpProtocolOptions.max_connection_duration.
	MaxDuration *Duration `json:"maxDuration,omitempty"`
	// MaxRequestsPerConnection, after which it is closed. Envoy:
	// HttpProtocolOptions.max_requests_per_connection.
	// +kubebuilder:validation:Minimum=1
	MaxRequestsPerConnection *int32 `json:"maxRequestsPerConnection,omitempty"`
	// HTTP2 true speaks HTTP/2 to endpoints whose port says http.
	HTTP2 *bool `json:"http2,omitempty"`
	// TCPKeepalive probes idle connections.
	TCPKeepalive *TCPKeepalive `json:"tcpKeepalive,omitempty"`
	// HTTP2Keepalive probes HTTP/2 connections. Envoy: connection_keepalive.
	HTTP2Keepalive *HTTP2Keepalive `json:"http2Keepalive,omitempty"`
}

// HTTP2Keepalive closes a connection whose peer does not answer a PING frame.
type HTTP2Keepalive struct {
	// Interval between two PING frames.
	Interval Duration `json:"interval"`
	// Timeout of the answer.
	Timeout Duration `json:"timeout"`
}

// TCPKeepalive sets the socket's options; the system's values where unwritten.
//
// +kubebuilder:validation:MinProperties=1
type TCPKeepalive struct {
	// Idle time before the first probe, in whole seconds.
	Idle *Duration `json:"idle,omitempty"`
	// Interval between probes, in whole seconds.
	Interval *Duration `json:"interval,omitempty"`
	// Probes that may fail.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Probes *int32 `json:"probes,omitempty"`
}

// CircuitBreaker limits what one proxy has in flight; what exceeds it is
// answered 503 with the flag UO. Envoy: CircuitBreakers.thresholds. What is not
// written has the mesh's finite default.
//
// +kubebuilder:validation:MinProperties=1
type CircuitBreaker struct {
	// MaxConnections to all endpoints of the service.
	// +kubebuilder:validation:Minimum=1
	MaxConnections *int32 `json:"maxConnections,omitempty"`
	// MaxPendingRequests that wait for a connection; 0 lets none wait.
	// +kubebuilder:validation:Minimum=0
	MaxPendingRequests *int32 `json:"maxPendingRequests,omitempty"`
	// MaxRequests in flight.
	// +kubebuilder:validation:Minimum=1
	MaxRequests *int32 `json:"maxRequests,omitempty"`
	// MaxRetries in flight; without effect where there is a retryBudget.
	// +kubebuilder:validation:Minimum=0
	MaxRetries *int32 `json:"maxRetries,omitempty"`
	// MaxConnectionsPerHost to each endpoint. Envoy: per_host_thresholds.
	// +kubebuilder:validation:Minimum=1
	MaxConnectionsPerHost *int32 `json:"maxConnectionsPerHost,omitempty"`
}

// OutlierDetection ejects an endpoint that fails. Envoy: OutlierDetection. A
// count of 0 turns that detector off.
//
// +kubebuilder:validation:MinProperties=1
type OutlierDetection struct {
	// Consecutive5xxErrors of an endpoint before it is ejected.
	// +kubebuilder:validation:Minimum=0
	Consecutive5xxErrors *int32 `json:"consecutive5xxErrors,omitempty"`
	// ConsecutiveGatewayErrors (502, 503, 504) before it is ejected.
	// +kubebuilder:validation:Minimum=0
	ConsecutiveGatewayErrors *int32 `json:"consecutiveGatewayErrors,omitempty"`
	// ConsecutiveLocalErrors (timeouts, resets, refused connections), counted apart
	// from the endpoint's own answers. Envoy: split_external_local_origin_errors.
	// +kubebuilder:validation:Minimum=0
	ConsecutiveLocalErrors *int32 `json:"consecutiveLocalErrors,omitempty"`
	// Interval between sweeps.
	Interval *Duration `json:"interval,omitempty"`
	// BaseEjectionTime, multiplied by the number of ejections.
	BaseEjectionTime *Duration `json:"baseEjectionTime,omitempty"`
	// MaxEjectionTime however often an endpoint was ejected.
	MaxEjectionTime *Duration `json:"maxEjectionTime,omitempty"`
	// MaxEjectionPercent of the endpoints that are out at the same time.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxEjectionPercent *int32 `json:"maxEjectionPercent,omitempty"`
	// SuccessRate ejects endpoints that do worse than the others.
	SuccessRate *SuccessRate `json:"successRate,omitempty"`
	// FailurePercentage ejects endpoints that fail more than a share.
	FailurePercentage *FailurePercentage `json:"failurePercentage,omitempty"`
}

// SuccessRate compares an endpoint with the mean of all.
type SuccessRate struct {
	// MinHosts with enough requests for the mean to count; 5 unless written.
	// +kubebuilder:validation:Minimum=1
	MinHosts *int32 `json:"minHosts,omitempty"`
	// RequestVolume that an endpoint needs in one interval; 100 unless written.
	// +kubebuilder:validation:Minimum=1
	RequestVolume *int32 `json:"requestVolume,omitempty"`
	// StdevFactor is how many standard deviations below the mean ejects; 1.9 unless
	// written.
	// +kubebuilder:validation:Minimum=0
	StdevFactor *float64 `json:"stdevFactor,omitempty"`
}

// FailurePercentage is a fixed threshold.
type FailurePercentage struct {
	// Threshold of failed requests at which an endpoint is ejected.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Threshold int32 `json:"threshold"`
	// MinHosts with enough requests; 5 unless written.
	// +kubebuilder:validation:Minimum=1
	MinHosts *int32 `json:"minHosts,omitempty"`
	// RequestVolume that an endpoint needs in one interval; 50 unless written.
	// +kubebuilder:validation:Minimum=1
	RequestVolume *int32 `json:"requestVolume,omitempty"`
}

// RetryBudget limits retries. Envoy: CircuitBreakers.Thresholds.RetryBudget.
type RetryBudget struct {
	// Percent of the requests in flight that may be retries.
	Percent Percent `json:"percent"`
	// MinRetryConcurrency that is allowed however few requests there are; 3 unless
	// written.
	// +kubebuilder:validation:Minimum=0
	MinRetryConcurrency *int32 `json:"minRetryConcurrency,omitempty"`
	// Interval for which a request counts as in flight after it began; only while
	// it is unless written. Envoy: budget_interval.
	Interval *Duration `json:"interval,omitempty"`
}

// Fallback answers in place of the service, never after bytes reached an
// endpoint; it is logged and counted.
//
// +kubebuilder:validation:ExactlyOneOf=respond;to
type Fallback struct {
	// When it answers.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	When []FallbackCondition `json:"when"`
	// Respond with a fixed answer.
	Respond *Respond `json:"respond,omitempty"`
	// To another service.
	To *FallbackDestination `json:"to,omitempty"`
}

// FallbackCondition is "overflow" (the circuit breaker refused the request) or
// "no-healthy-endpoint".
//
// +kubebuilder:validation:Enum=overflow;no-healthy-endpoint
type FallbackCondition string

// Values of FallbackCondition.
const (
	FallbackOverflow          FallbackCondition = "overflow"
	FallbackNoHealthyEndpoint FallbackCondition = "no-healthy-endpoint"
)

// FallbackDestination is the service that takes over.
type FallbackDestination struct {
	// Service that takes over.
	Service Name `json:"service"`
	// Namespace of the service; the document's own unless written.
	Namespace Name `json:"namespace,omitempty"`
	// Port of the service, where it has several.
	Port *Port `json:"port,omitempty"`
	// Version of the service.
	Version VersionName `json:"version,omitempty"`
}
