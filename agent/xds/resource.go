package xds

import (
	"maps"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Type URLs of what is served.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// wildcard are the types that Envoy asks for as a whole; the others by name.
var wildcard = map[string]bool{ClusterType: true, ListenerType: true}

// namedTypes are the types for which an empty request asks for nothing.
var namedTypes = []string{EndpointType, RouteType, SecretType}

// A Resource is one resource of any type. Version changes with the bytes.
type Resource struct {
	Name    string
	Version string
	Bytes   []byte
}

// set is what is served of one type, by name. It is never changed in place.
type set map[string]*discovery.Resource

func newSet(typeURL string, resources []Resource) set {
	out := make(set, len(resources))
	for _, r := range resources {
		out[r.Name] = &discovery.Resource{
			Name: r.Name, Version: r.Version,
			Resource: &anypb.Any{TypeUrl: typeURL, Value: r.Bytes},
		}
	}
	return out
}

// over returns s with what under has besides.
func (s set) over(under set) set {
	out := maps.Clone(under)
	if out == nil {
		out = set{}
	}
	maps.Copy(out, s)
	return out
}

func (s set) names() []string { return slices.Sorted(maps.Keys(s)) }
