package xds

import (
	"fmt"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// RetryConditions are the words of Envoy's retry_on. Envoy ignores any other in
// silence, so package check refuses them.
var RetryConditions = []string{
	"5xx", "cancelled", "connect-failure", "deadline-exceeded", "envoy-ratelimited", "gateway-error",
	"http3-post-connect-failure", "internal", "refused-stream", "reset", "reset-before-request",
	"resource-exhausted", "retriable-4xx", "retriable-headers", "retriable-status-codes", "unavailable",
}

const retriableStatusCodes = "retriable-status-codes"

// retryPolicy returns nil where nothing is repeated.
func (p *packer) retryPolicy(rule *check.Rule) *routev3.RetryPolicy {
	r := rule.Retry
	if r == nil || r.Attempts == 0 {
		return nil
	}
	out := &routev3.RetryPolicy{
		RetryOn:              p.retryOn(r),
		NumRetries:           wrapperspb.UInt32(r.Attempts),
		RetriableStatusCodes: r.Statuses,
	}
	if r.PerTry != nil {
		out.PerTryTimeout = durationpb.New(*r.PerTry)
	}
	// Any of them must hold. Without the methods, a POST is repeated too.
	for _, m := range r.Methods {
		out.RetriableRequestHeaders = append(out.RetriableRequestHeaders, envoymatch.Header(
			mesh.HeaderMatch{Name: ":method", StringMatch: mesh.StringMatch{Kind: mesh.Exact, Value: m}}))
	}
	if r.BackoffBase != nil {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(*r.BackoffBase)}
		if r.BackoffMax != nil {
			out.RetryBackOff.MaxInterval = durationpb.New(*r.BackoffMax)
		}
	}
	if r.AvoidPreviousHosts && !staysWithHash(rule) {
		p.avoidPreviousHosts(out)
	}
	if r.RemoteLocalities {
		p.goFurther(out)
	}
	return out
}

func (p *packer) retryOn(r *mesh.Retry) string {
	words := slices.Clone(r.Conditions)
	for _, w := range words {
		if !slices.Contains(RetryConditions, w) {
			p.fail(fmt.Errorf("retry condition %q is not a word of Envoy's", w))
		}
	}
	if len(r.Statuses) > 0 && !slices.Contains(words, retriableStatusCodes) {
		words = append(words, retriableStatusCodes)
	}
	return strings.Join(words, ",")
}

// staysWithHash: Istio keeps a retry on the host of the hash.
func staysWithHash(rule *check.Rule) bool {
	return rule.Origin.Dialect == mesh.Istio &&
		slices.ContainsFunc(rule.To, func(d check.Destination) bool { return len(hashKeys(d.Backend)) > 0 })
}

// hostSelectionAttempts is how often another host is looked for, as Istio has it.
const hostSelectionAttempts = 5

func (p *packer) avoidPreviousHosts(r *routev3.RetryPolicy) {
	r.HostSelectionRetryMaxAttempts = hostSelectionAttempts
	r.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
		Name: "envoy.retry_host_predicates.previous_hosts",
		ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
			TypedConfig: p.any(&previoushostsv3.PreviousHostsPredicate{}),
		},
	}}
}

// priorityAttempts is how many tries a priority gets, as Istio has it
// (core/route/retry).
const priorityAttempts = 2

// goFurther sends repetitions to what is less near.
func (p *packer) goFurther(r *routev3.RetryPolicy) {
	r.RetryPriority = &routev3.RetryPolicy_RetryPriority{
		Name: "envoy.retry_priorities.previous_priorities",
		ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{
			TypedConfig: p.any(&previousprioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: priorityAttempts}),
		},
	}
}

// inboundRetry repeats towards the workload's own application only what was
// never sent: its keep-alive connection closed at that moment.
func inboundRetry() *routev3.RetryPolicy {
	return &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)}
}
