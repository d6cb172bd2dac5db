package mesh

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// RateLimitPolicy bounds the requests that its target takes.
type RateLimitPolicy struct {
	Origin
	Target Target
	Limits []RateLimit
}

// RateLimit is a number of requests in a time; a request must keep to all.
type RateLimit struct {
	Name     string
	Requests uint32
	Per      time.Duration
	Burst    uint32 // at once; 0: the rate-limit service's to decide
	Rule     string // of the service's route; "": every request
	RuleAt   source.Span
	RateLimitKey
	Provider         string // "": each proxy counts on its own
	ProviderAt       source.Span
	AllowUnavailable bool // where the provider does not answer
	Span             source.Span
}

// RateLimitKey says whose requests have a count of their own; the zero value is one
// count for all. Callers, and requests, that do not have it share one.
type RateLimitKey struct {
	Caller        bool // by the identity of the peer
	Header        string
	RemoteAddress bool
}

// Limiter is a service of Envoy's rate-limit API.
type Limiter struct {
	Name    string
	Service Ref
	Port    uint32
	PortAt  source.Span
	Timeout time.Duration
}
