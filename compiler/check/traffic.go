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
		LoadBalancing:  loadBalancing(set.LoadBalancing),
		Connections:    connections(set.Connections, dialect),
		CircuitBreaker: thresholds(set.CircuitBreaker, dialect),
		RetryBudget:    set.RetryBudget,
		Fallback:       set.Fallback,
		ClientTLS:      set.TLS,
	}
	t.OutlierDetection, t.PanicPercent = outlier(set.OutlierDetection, dialect)
	if t.ClientTLS == nil {
		t.ClientTLS = s.tls
	}
	return t
}

// loadBalancing is least-request unless written: Istio's default, and better
// than Envoy's round robin where requests differ in cost.
func loadBalancing(written *mesh.LoadBalancing) mesh.LoadBalancing {
	if written == nil {
		return mesh.LoadBalancing{Policy: "least-request"}
	}
	lb := *written
	if lb.Policy == "" {
		lb.Policy = "least-request"
	}
	return lb
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
	out := Thresholds{MaxConnections: 1024, MaxPendingRequests: 1024, MaxRequests: 1024, MaxRetries: 3}
	if dialect == mesh.Istio {
		out = Thresholds{math.MaxUint32, math.MaxUint32, math.MaxUint32, math.MaxUint32}
	}
	if written == nil {
		return out
	}
	out.MaxConnections = or(written.MaxConnections, out.MaxConnections)
	out.MaxPendingRequests = or(written.MaxPendingRequests, out.MaxPendingRequests)
	out.MaxRequests = or(written.MaxRequests, out.MaxRequests)
	out.MaxRetries = or(written.MaxRetries, out.MaxRetries)
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
// fewer than ten. Istio's is off unless written, and then turns panic off too.
func outlier(written *mesh.OutlierDetection, dialect mesh.Dialect) (*mesh.OutlierDetection, *uint32) {
	istio := dialect == mesh.Istio
	if written == nil && istio || written != nil && written.Disabled {
		return nil, nil
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
	panicPercent := out.MinHealthPercent
	if istio {
		panicPercent = explicit(panicPercent, 0)
	}
	return &out, panicPercent
}

func explicit[T any](written *T, otherwise T) *T {
	if written != nil {
		return written
	}
	return &otherwise
}
