package check

import (
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// defaultsOf is whose defaults a route follows: its own dialect's, or the
// mesh's where the dialect leaves them to the implementation (Gateway API).
func (c *checker) defaultsOf(dialect mesh.Dialect) mesh.Dialect {
	if dialect == mesh.Native || dialect == mesh.Istio || dialect == mesh.Linkerd {
		return dialect
	}
	return c.set.Defaults
}

// timeout of a route. Native: 15 s, which is also Envoy's own (route.v3
// RouteAction.timeout), but not for gRPC, whose callers send deadlines. Istio
// has none (route.go, setTimeout).
func timeout(written *mesh.Timeout, dialect mesh.Dialect, grpc bool) time.Duration {
	switch {
	case written != nil:
		return written.Value
	case dialect == mesh.Native && !grpc:
		return 15 * time.Second
	}
	return 0
}

// idempotent methods may be repeated without asking (RFC 9110, section 9.2.2).
var idempotent = []string{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}

// istioConditions is Istio's default list since 1.24, which has no status code
// (core/route/retry/retry.go).
var istioConditions = []string{"connect-failure", "refused-stream", "unavailable", "cancelled"}

// retry makes a rule's retries explicit. Istio retries every request twice
// unless told otherwise, on another endpoint unless the endpoint is chosen by a
// hash; natively nothing is retried unless written. A dialect whose defaults are
// another's says of a written retry all that there is to say.
func retry(written *mesh.Retry, dialect, defaults mesh.Dialect, hashed bool) *mesh.Retry {
	if written == nil {
		if defaults != mesh.Istio {
			return nil
		}
		return &mesh.Retry{Attempts: 2, Conditions: istioConditions, AvoidPreviousHosts: !hashed}
	}
	if written.Attempts == 0 {
		return nil
	}
	out := *written
	if dialect == mesh.Istio {
		if len(out.Conditions) == 0 && len(out.Statuses) == 0 {
			out.Conditions = istioConditions
		}
		out.AvoidPreviousHosts = out.AvoidPreviousHosts && !hashed
		return &out
	}
	if out.Methods == nil && dialect == mesh.Native {
		out.Methods = idempotent
	}
	return &out
}

// hashes reports whether a hash chooses the endpoint of some destination.
func hashes(to []Destination) bool {
	return slices.ContainsFunc(to, func(d Destination) bool { return d.Backend.Traffic.LoadBalancing.Hash != nil })
}
