package check

import (
	"math"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// traffic makes explicit how clients treat one backend.
func (c *checker) traffic(s *site, port uint32, v *version) Traffic {
	var policy *mesh.VersionPolicy
	if v != nil {
		policy = v.policy
	}
	set := s.policy.effective(port, policy)
	dialect := s.policy.dialect
	if dialect == "" {
		dialect = c.set.Defaults
	}
	t := Traffic{
		LoadBalancing:  loadBalancing(&set, dialect),
		Connections:    connections(set.Connections, dialect),
		CircuitBreaker: thresholds(set.CircuitBreaker, dialect),
		RetryBudget:    set.RetryBudget,
		Fallback:       set.Fallback,
		ClientTLS:      set.TLS,
	}
	t.OutlierDetection = outlier(set.OutlierDetection, dialect)
	t.PanicPercent = panicPercent(&set, t.OutlierDetection, dialect)
	if o := s.originates(port); o != nil {
		t.ClientTLS = s.onlyTLS(o, t.ClientTLS, port)
	}
	if t.ClientTLS == nil {
		t.ClientTLS = s.tls
	}
	return t
}

// loadBalancing is least-request unless written: Istio's default, and better
// than Envoy's round robin where requests differ in cost.
func loadBalancing(set *mesh.TrafficSettings, dialect mesh.Dialect) mesh.LoadBalancing {
	var lb mesh.LoadBalancing
	if set.LoadBalancing != nil {
		lb = *set.LoadBalancing
	}
	if lb.Policy == "" {
		lb.Policy = "least-request"
	}
	if dialect == mesh.Istio {
		lb.Locality = istioLocality(&lb, set.OutlierDetection)
	}
	return lb
}

// istioLocality: near endpoints are preferred where outlier detection can tell when
// to go further, also where nothing is written; without it only shares count
// (destination_rule.proto, LocalityLoadBalancerSetting).
func istioLocality(lb *mesh.LoadBalancing, o *mesh.OutlierDetection) *mesh.Locality {
	switch l := lb.Locality; {
	case lb.AnyLocality:
		return nil
	case l != nil && len(l.Distribute) > 0:
		return l
	case o == nil:
		return nil
	case l == nil:
		return &mesh.Locality{Span: o.Span}
	default:
		return l
	}
}

// panicPercent: Istio's outlier detection turns panic off unless it says where it
// begins.
func panicPercent(set *mesh.TrafficSettings, o *mesh.OutlierDetection, dialect mesh.Dialect) *float64 {
	if lb := set.LoadBalancing; lb != nil && lb.PanicPercent != nil {
		return lb.PanicPercent
	}
	if o == nil {
		return nil
	}
	if o.MinHealthPercent != nil {
		p := float64(*o.MinHealthPercent)
		return &p
	}
	if dialect == mesh.Istio {
		return new(float64)
	}
	return nil
}

// connections sets the connect timeout: Istio's 10 s (pkg/config/mesh), else
// Envoy's own 5 s (Cluster.connect_timeout).
func connections(written *mesh.Connections, dialect mesh.Dialect) mesh.Connections {
	var out mesh.Connections
	if written != nil {
		out = *written
	}
	if out.ConnectTimeout == nil {
		timeout := 5 * time.Second
		if dialect == mesh.Istio {
			timeout = 10 * time.Second
		}
		out.ConnectTimeout = &timeout
	}
	return out
}

// thresholds are Envoy's own defaults (config.cluster.v3.CircuitBreakers), made
// explicit; Istio turns them off by setting each to the maximum.
func thresholds(written *mesh.CircuitBreaker, dialect mesh.Dialect) Thresholds {
	const unlimited = math.MaxUint32
	out := Thresholds{MaxConnections: 1024, MaxPendingRequests: 1024, MaxRequests: 1024, MaxRetries: 3}
	if dialect == mesh.Istio {
		out = Thresholds{MaxConnections: unlimited, MaxPendingRequests: unlimited, MaxRequests: unlimited, MaxRetries: unlimited}
	}
	if written == nil {
		return out
	}
	out.MaxConnections = or(written.MaxConnections, out.MaxConnections)
	out.MaxPendingRequests = or(written.MaxPendingRequests, out.MaxPendingRequests)
	out.MaxRequests = or(written.MaxRequests, out.MaxRequests)
	out.MaxRetries = or(written.MaxRetries, out.MaxRetries)
	out.MaxConnectionsPerHost = or(written.MaxConnectionsPerHost, 0)
	return out
}

func or[T any](written *T, otherwise T) T {
	if written != nil {
		return *written
	}
	return otherwise
}

// outlier fills the fields of outlier detection with Envoy's defaults
// (config.cluster.v3.OutlierDetection). Native detection is on unless disabled
// and may eject half of the endpoints, since Envoy's 10 % protects no service of
// fewer than ten. Istio's is off unless written; Linkerd's failure accrual is off
// unless annotated.
func outlier(written *mesh.OutlierDetection, dialect mesh.Dialect) *mesh.OutlierDetection {
	istio := dialect == mesh.Istio
	if written == nil && (istio || dialect == mesh.Linkerd) || written != nil && written.Disabled {
		return nil
	}
	var out mesh.OutlierDetection
	if written != nil {
		out = *written
	}
	eject := uint32(50)
	if istio {
		eject = 10
	}
	out.Consecutive5xx = explicit(out.Consecutive5xx, 5)
	out.Interval = explicit(out.Interval, 10*time.Second)
	out.BaseEjectionTime = explicit(out.BaseEjectionTime, 30*time.Second)
	out.MaxEjectionPercent = explicit(out.MaxEjectionPercent, eject)
	out.SuccessRate = successRate(out.SuccessRate)
	out.FailurePercentage = failurePercentage(out.FailurePercentage)
	return &out
}

// successRate and failurePercentage fill in Envoy's defaults.
func successRate(written *mesh.SuccessRate) *mesh.SuccessRate {
	if written == nil {
		return nil
	}
	return &mesh.SuccessRate{
		MinHosts: explicit(written.MinHosts, 5), RequestVolume: explicit(written.RequestVolume, 100), StdevFactor: explicit(written.StdevFactor, 1.9),
	}
}

func failurePercentage(written *mesh.FailurePercentage) *mesh.FailurePercentage {
	if written == nil {
		return nil
	}
	return &mesh.FailurePercentage{
		Threshold: written.Threshold, MinHosts: explicit(written.MinHosts, 5), RequestVolume: explicit(written.RequestVolume, 50),
	}
}

func explicit[T any](written *T, otherwise T) *T {
	if written != nil {
		return written
	}
	return &otherwise
}
