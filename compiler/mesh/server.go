package mesh

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Server is a port of workloads of its namespace that lets in only those whom
// authorizations name (Linkerd).
type Server struct {
	Origin
	Labels     map[string]string // by which authorizations select servers
	Workloads  LabelSelector
	Port       uint32 // of the workload; 0: the ports called PortName
	PortName   string
	PortAt     source.Span
	Protocol   Protocol // "" where it is left open
	ProtocolAt source.Span
	// Default is whom else it lets in; "" is nobody.
	Default   InboundDefault
	DefaultAt source.Span
	Span      source.Span // of the selector
}

// InboundDefault is whom a port lets in of whom no policy speaks, in Linkerd's words.
type InboundDefault string

// Defaults. Those of the cluster ask for an address of its networks, those that are
// authenticated for an identity. Audit lets everyone in and logs.
const (
	InboundUnset                  InboundDefault = ""
	InboundDeny                   InboundDefault = "deny"
	InboundAudit                  InboundDefault = "audit"
	InboundAllUnauthenticated     InboundDefault = "all-unauthenticated"
	InboundAllAuthenticated       InboundDefault = "all-authenticated"
	InboundClusterUnauthenticated InboundDefault = "cluster-unauthenticated"
	InboundClusterAuthenticated   InboundDefault = "cluster-authenticated"
)

// WrittenDefault is an inbound default that a workload or namespace writes.
type WrittenDefault struct {
	Value InboundDefault
	Span  source.Span
}

// LabelSelector selects by labels; all of it must hold. The zero value selects
// everything.
type LabelSelector struct {
	Labels      map[string]string
	Expressions []LabelExpression
}

// LabelExpression compares one label. Operator: In, NotIn, Exists, DoesNotExist.
type LabelExpression struct {
	Key, Operator string
	Values        []string
}

// Authentication is a set of callers that authorizations name.
type Authentication struct {
	Origin
	From []Source // any of
}

// Authorization lets callers reach servers of its namespace, or the requests of one
// route of them. Exactly one of Server, Servers, EveryServer, Route.
type Authorization struct {
	Origin
	Server      string
	Servers     *LabelSelector
	EveryServer bool
	Route       *ObjectName
	TargetAt    source.Span
	// From is who may, where it is written here; otherwise callers must be in all
	// of Requires, and without any everyone may.
	From     []Source
	Requires []AuthenticationRef
	// Cluster demands an address of the cluster's networks.
	Cluster bool
}

// ObjectName names another document.
type ObjectName struct {
	Group, Kind, Name string
	Span              source.Span
}

// AuthenticationRef names an Authentication, or is one service account.
type AuthenticationRef struct {
	Kind, Namespace, Name string
	Span                  source.Span
}

// ServerRoute is a part of the requests to servers of its namespace. Requests that
// no route of a server matches are answered 404.
type ServerRoute struct {
	Origin
	Group   string
	Servers []ObjectName
	// Matches are any of; an empty operation is every request. They say nothing of ports.
	Matches []Operation
}

// InNetworks demands of each source one of the networks, which say nothing but
// addresses.
func InNetworks(sources, networks []Source) []Source {
	out := make([]Source, 0, len(sources)*len(networks))
	for _, s := range sources {
		for _, n := range networks {
			s.IPBlocks, s.NotIPBlocks = n.IPBlocks, n.NotIPBlocks
			out = append(out, s)
		}
	}
	return out
}

// Selects reports whether all of the selector holds for labels.
func (s *LabelSelector) Selects(labels map[string]string) bool {
	for key, value := range s.Labels {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	for i := range s.Expressions {
		if !s.Expressions[i].holds(labels) {
			return false
		}
	}
	return true
}

// holds follows Kubernetes: NotIn also selects what lacks the label.
func (e *LabelExpression) holds(labels map[string]string) bool {
	value, ok := labels[e.Key]
	switch e.Operator {
	case "In":
		return ok && slices.Contains(e.Values, value)
	case "NotIn":
		return !ok || !slices.Contains(e.Values, value)
	case "Exists":
		return ok
	}
	return !ok // DoesNotExist
}

// InRanges reports whether a port is in one of the ranges.
func InRanges(ranges []PortRange, port uint32) bool {
	return slices.ContainsFunc(ranges, func(r PortRange) bool { return r.First <= port && port <= r.Last })
}
