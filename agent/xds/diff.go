package xds

import (
	"maps"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// A watch is one type's open request of one stream: at most one response
// answers it.
type watch struct {
	request      *cache.DeltaRequest
	subscription cache.Subscription
	responses    chan cache.DeltaResponse
	first        bool // of its type on the stream
}

// respond returns what the proxy lacks of s, nil when it lacks nothing. The
// first wildcard request is answered even so: Envoy starts with the answer.
func (w *watch) respond(s set, version string) *cache.DeltaPassthroughResponse {
	changed, removed := w.diff(s)
	if len(changed) == 0 && len(removed) == 0 && !(w.first && w.subscription.IsWildcard()) {
		return nil
	}
	known := maps.Clone(w.subscription.ReturnedResources())
	response := &discovery.DeltaDiscoveryResponse{
		TypeUrl: w.request.GetTypeUrl(), SystemVersionInfo: version, RemovedResources: removed,
	}
	for _, name := range changed {
		response.Resources = append(response.Resources, s[name])
		known[name] = s[name].GetVersion()
	}
	for _, name := range removed {
		delete(known, name)
	}
	return &cache.DeltaPassthroughResponse{
		DeltaRequest: w.request, NextVersionMap: known, DeltaDiscoveryResponse: response,
	}
}

func (w *watch) diff(s set) (changed, removed []string) {
	known, again := w.subscription.ReturnedResources(), w.again()
	for _, name := range s.names() {
		if !w.wants(name) {
			continue
		}
		if version, ok := known[name]; !ok || version != s[name].GetVersion() || again[name] {
			changed = append(changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if _, ok := s[name]; !ok && w.wants(name) {
			removed = append(removed, name)
		}
	}
	return changed, removed
}

func (w *watch) wants(name string) bool {
	_, named := w.subscription.SubscribedResources()[name]
	return named || w.subscription.IsWildcard()
}

// again returns the names that the request subscribes to without holding
// them. Envoy subscribes again to what it has lost, such as the endpoints of a
// cluster that warms anew, and the server must then send them whatever it sent
// before (xDS protocol, "Subscribing to resources").
func (w *watch) again() map[string]bool {
	out := map[string]bool{}
	for _, name := range w.request.GetResourceNamesSubscribe() {
		if _, holds := w.request.GetInitialResourceVersions()[name]; !holds {
			out[name] = true
		}
	}
	return out
}
