package xds

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (p *packer) setLoadBalancing(c *clusterv3.Cluster, b *check.Backend) {
	lb := &b.Traffic.LoadBalancing
	switch lb.Policy {
	case "round-robin":
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if lb.SlowStart != nil {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{
				RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: slowStart(lb)}}
		}
	case "least-request":
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if lb.SlowStart != nil {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{
				LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: slowStart(lb)}}
		}
	case "random":
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case "ring-hash":
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		if lb.TableSize > 0 {
			c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{
				RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: wrapperspb.UInt64(lb.TableSize)}}
		}
	case "maglev":
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		if lb.TableSize > 0 {
			c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{
				MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(lb.TableSize)}}
		}
	default:
		p.fail(unknown("load balancing policy", lb.Policy))
	}
}

// slowStart warms new endpoints up. The runtime key is of no layer that a proxy has.
func slowStart(lb *mesh.LoadBalancing) *clusterv3.Cluster_SlowStartConfig {
	return &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow:  durationpb.New(lb.SlowStart.Window),
		Aggression:       &corev3.RuntimeDouble{DefaultValue: lb.SlowStart.Aggression, RuntimeKey: "slow_start.aggression"},
		MinWeightPercent: &typev3.Percent{Value: lb.SlowStart.MinPercent},
	}
}

// outlierDetection says every enforcement: Envoy ejects by success rate unless
// told not to, and by gateway errors only when told to.
func outlierDetection(o *mesh.OutlierDetection) *clusterv3.OutlierDetection {
	if o == nil || o.Disabled {
		return nil
	}
	out := &clusterv3.OutlierDetection{
		Consecutive_5Xx:                    counted(o.Consecutive5xx),
		EnforcingConsecutive_5Xx:           enforced(o.Consecutive5xx),
		ConsecutiveGatewayFailure:          counted(o.ConsecutiveGatewayErrors),
		EnforcingConsecutiveGatewayFailure: enforced(o.ConsecutiveGatewayErrors),
		EnforcingSuccessRate:               wrapperspb.UInt32(0),
		SplitExternalLocalOriginErrors:     o.SplitLocalErrors,
		MaxEjectionPercent:                 counted(o.MaxEjectionPercent),
	}
	if o.SplitLocalErrors {
		out.ConsecutiveLocalOriginFailure = counted(o.ConsecutiveLocalErrors)
		out.EnforcingConsecutiveLocalOriginFailure = enforced(o.ConsecutiveLocalErrors)
		out.EnforcingLocalOriginSuccessRate = wrapperspb.UInt32(0)
	}
	setSuccessRate(out, o)
	setFailurePercentage(out, o)
	if o.MaxEjectionTime != nil {
		out.MaxEjectionTime = durationpb.New(*o.MaxEjectionTime)
	}
	if o.Interval != nil {
		out.Interval = durationpb.New(*o.Interval)
	}
	if o.BaseEjectionTime != nil {
		out.BaseEjectionTime = durationpb.New(*o.BaseEjectionTime)
	}
	return out
}

const always = 100 // percent of what is detected

// stdevUnit: Envoy counts deviations in thousandths.
const stdevUnit = 1000

func setSuccessRate(out *clusterv3.OutlierDetection, o *mesh.OutlierDetection) {
	s := o.SuccessRate
	if s == nil {
		return
	}
	out.EnforcingSuccessRate = wrapperspb.UInt32(always)
	if o.SplitLocalErrors {
		out.EnforcingLocalOriginSuccessRate = wrapperspb.UInt32(always)
	}
	out.SuccessRateMinimumHosts, out.SuccessRateRequestVolume = counted(s.MinHosts), counted(s.RequestVolume)
	out.SuccessRateStdevFactor = wrapperspb.UInt32(uint32(math.Round(*s.StdevFactor * stdevUnit)))
}

func setFailurePercentage(out *clusterv3.OutlierDetection, o *mesh.OutlierDetection) {
	f := o.FailurePercentage
	if f == nil {
		return
	}
	out.EnforcingFailurePercentage = wrapperspb.UInt32(always)
	if o.SplitLocalErrors {
		out.EnforcingFailurePercentageLocalOrigin = wrapperspb.UInt32(always)
	}
	out.FailurePercentageThreshold = wrapperspb.UInt32(f.Threshold)
	out.FailurePercentageMinimumHosts, out.FailurePercentageRequestVolume = counted(f.MinHosts), counted(f.RequestVolume)
}

func counted(n *uint32) *wrapperspb.UInt32Value {
	if n == nil {
		return nil
	}
	return wrapperspb.UInt32(*n)
}

// enforced: 0 failures in a row, like none written, is off.
func enforced(n *uint32) *wrapperspb.UInt32Value {
	if n == nil || *n == 0 {
		return wrapperspb.UInt32(0)
	}
	return wrapperspb.UInt32(100)
}
