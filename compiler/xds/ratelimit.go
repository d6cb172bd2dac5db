package xds

import (
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/ratelimit/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// Keys of the entries of descriptors.
const (
	policyKey  = "policy"
	limitKey   = "limit"
	callerKey  = "caller"
	headerKey  = "header"
	addressKey = "remote_address"
)

// maxCounts is how many callers or values of a header a proxy remembers for a limit
// of its own; beyond, who was seen longest ago begins anew. Envoy's default is 20.
const maxCounts = 10_000

// nobody stands in a descriptor for a caller without identity, or a request without the
// header: without an entry there would be no descriptor, and no limit.
const nobody = "-"

// stage is a filter's: 0 is the proxy's own count, then one for each provider and
// what happens without it.
type stage struct {
	limiter check.Limiter
	allow   bool
}

func stageOf(l *check.RateLimit) stage { return stage{l.Limiter, l.AllowUnavailable} }

func stagesOf(limits *check.PortLimits) []stage {
	out := []stage{{}}
	if limits == nil {
		return out
	}
	for i := range limits.Limits {
		if s := stageOf(&limits.Limits[i]); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// rateLimitFilters count what routes say: the proxy's own counts first, since they
// cost nothing.
func (p *packer) rateLimitFilters(s *check.Settings, in inboundPort) []*hcmv3.HttpFilter {
	var out []*hcmv3.HttpFilter
	for i, stage := range stagesOf(in.limits) {
		switch {
		case stage.limiter.Backend != nil:
			out = append(out, p.httpFilter("envoy.filters.http.ratelimit", askLimiter(s, uint32(i), stage)))
		case in.limits != nil && slices.ContainsFunc(in.limits.Limits, func(l check.RateLimit) bool { return l.Limiter.Backend == nil }):
			out = append(out, p.httpFilter("envoy.filters.http.local_ratelimit", countLocally(in)))
		}
	}
	return out
}

// countLocally has a bucket for each limit, and where it is by something one for each
// value. A request must find a token in each bucket that its descriptors name.
func countLocally(in inboundPort) *localratev3.LocalRateLimit {
	always := &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}}
	out := &localratev3.LocalRateLimit{
		StatPrefix:                     inboundListenerName(in.Port),
		FilterEnabled:                  always,
		FilterEnforced:                 always,
		EnableXRatelimitHeaders:        commonv3.XRateLimitHeadersRFCVersion_DRAFT_VERSION_03,
		RateLimitedAsResourceExhausted: true,
		MaxDynamicDescriptors:          wrapperspb.UInt32(maxCounts),
	}
	for i := range in.limits.Limits {
		l := &in.limits.Limits[i]
		if l.Limiter.Backend != nil {
			continue
		}
		d := &commonv3.LocalRateLimitDescriptor{TokenBucket: &typev3.TokenBucket{
			MaxTokens: l.Burst, TokensPerFill: wrapperspb.UInt32(l.Requests), FillInterval: durationpb.New(l.Per),
		}}
		for _, e := range entriesOf(l) {
			if e.format { // any value, each with a bucket of its own
				e.value = ""
			}
			d.Entries = append(d.Entries, &commonv3.RateLimitDescriptor_Entry{Key: e.key, Value: e.value})
		}
		out.Descriptors = append(out.Descriptors, d)
	}
	return out
}

// askLimiter denies with 500 where the provider does not answer, unless told otherwise.
func askLimiter(s *check.Settings, stage uint32, by stage) *ratelimitv3.RateLimit {
	return &ratelimitv3.RateLimit{
		Domain:                         s.TrustDomain,
		Stage:                          stage,
		Timeout:                        durationpb.New(by.limiter.Timeout),
		FailureModeDeny:                !by.allow,
		EnableXRatelimitHeaders:        ratelimitv3.RateLimit_DRAFT_VERSION_03,
		RateLimitedAsResourceExhausted: true,
		RateLimitService: &ratelimitconfigv3.RateLimitServiceConfig{
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcService:         grpcService(by.limiter.Backend, by.limiter.Timeout),
		},
	}
}

// grpcService asks a backend. Its authority is a name of the service: that of the
// cluster, which Envoy would take, is none that HTTP/2 knows.
func grpcService(b *check.Backend, timeout time.Duration) *corev3.GrpcService {
	to := &corev3.GrpcService_EnvoyGrpc{ClusterName: ClusterName(b)}
	if name, ok := dnsName(b.Port.Service); ok {
		to.Authority = name + ":" + strconv.Itoa(int(b.Port.Number))
	}
	return &corev3.GrpcService{Timeout: durationpb.New(timeout), TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: to}}
}

// limitedRoutes are the one route to the application, before it those of the rules
// that limits name, and of the rules that are tried before them.
func (p *packer) limitedRoutes(name string, action *routev3.RouteAction, limits *check.PortLimits) []*routev3.Route {
	route := func(match *routev3.RouteMatch, limits []*routev3.RateLimit) *routev3.Route {
		limited := &routev3.RouteAction{
			ClusterSpecifier: action.ClusterSpecifier, Timeout: action.Timeout, IdleTimeout: action.IdleTimeout,
			RetryPolicy: action.RetryPolicy, RateLimits: limits,
		}
		return &routev3.Route{Name: name, Match: match, Action: &routev3.Route_Route{Route: limited}}
	}
	var out []*routev3.Route
	for _, rule := range rulesUpToLimits(limits) {
		matches := rule.MatchesFor(nil)
		for i := range matches {
			for _, match := range p.routeMatches(&matches[i]) {
				out = append(out, route(match, rateLimits(limits, rule.ID)))
			}
		}
	}
	every := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	return append(out, route(every, rateLimits(limits, "")))
}

func rulesUpToLimits(limits *check.PortLimits) []*check.Rule {
	if limits == nil || limits.Table == nil {
		return nil
	}
	last := -1
	for i, r := range limits.Table.Rules {
		if slices.ContainsFunc(limits.Limits, func(l check.RateLimit) bool { return l.Rule == r.ID }) {
			last = i
		}
	}
	return limits.Table.Rules[:last+1]
}

// rateLimits are those of every request, and of the rule.
func rateLimits(limits *check.PortLimits, rule string) []*routev3.RateLimit {
	if limits == nil {
		return nil
	}
	stages := stagesOf(limits)
	var out []*routev3.RateLimit
	for i := range limits.Limits {
		l := &limits.Limits[i]
		if l.Rule != "" && l.Rule != rule {
			continue
		}
		stage := uint32(slices.Index(stages, stageOf(l)))
		r := &routev3.RateLimit{Stage: wrapperspb.UInt32(stage)}
		for _, e := range entriesOf(l) {
			r.Actions = append(r.Actions, e.action())
		}
		if l.Limiter.Backend != nil {
			r.Limit = &routev3.RateLimit_Override{OverrideSpecifier: &routev3.RateLimit_Override_RateLimit{
				RateLimit: &routev3.RateLimit_Override_RateLimitOverride{RequestsPerUnit: l.Requests, Unit: unitOf(l.Per)}}}
		}
		out = append(out, r)
	}
	return out
}

func unitOf(d time.Duration) typev3.RateLimitUnit {
	switch d {
	case time.Second:
		return typev3.RateLimitUnit_SECOND
	case time.Minute:
		return typev3.RateLimitUnit_MINUTE
	case time.Hour:
		return typev3.RateLimitUnit_HOUR
	}
	return typev3.RateLimitUnit_DAY
}

// entry of a descriptor. Names of policies and limits have no "%", which a format is
// known by.
type entry struct {
	key, value string
	format     bool // value says what of the request
}

func (e entry) action() *routev3.RateLimit_Action {
	key := &routev3.RateLimit_Action_GenericKey{DescriptorKey: e.key, DescriptorValue: e.value}
	if e.format {
		key.DefaultValue = nobody
	}
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_GenericKey_{GenericKey: key}}
}

func entriesOf(l *check.RateLimit) []entry {
	out := []entry{{key: policyKey, value: l.Policy}, {key: limitKey, value: l.Name}}
	by := l.By
	if by.Caller {
		out = append(out, entry{callerKey, "%DOWNSTREAM_PEER_URI_SAN%", true})
	}
	if by.Header != "" { // a value has a length, since it is remembered
		out = append(out, entry{headerKey, "%REQ(" + by.Header + "):128%", true})
	}
	if by.RemoteAddress { // the connection's: x-forwarded-for is the caller's to write
		out = append(out, entry{addressKey, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", true})
	}
	return out
}

// withLimiters adds the rate-limit services that the workload's proxies ask to what
// its routes reach.
func withLimiters(w *check.Workload, backends []*check.Backend) []*check.Backend {
	before := len(backends)
	for _, b := range w.Limiters() {
		if !slices.Contains(backends, b) {
			backends = append(backends, b)
		}
	}
	if len(backends) > before {
		sortBackends(backends)
	}
	return backends
}
