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
// Names in again are sent whatever it has, and taken out.
func (w *watch) respond(s set, version string, again map[string]bool) *cache.DeltaPassthroughResponse {
	changed, removed := w.diff(s, again)
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
		delete(again, name)
	}
	for _, name := range removed {
		delete(known, name)
	}
	return &cache.DeltaPassthroughResponse{
		DeltaRequest: w.request, NextVersionMap: known, DeltaDiscoveryResponse: response,
	}
}

func (w *watch) diff(s set, again map[string]bool) (changed, removed []string) {
	known := w.subscription.ReturnedResources()
	for _, name := range s.names() {
		if !w.wants(name) {
			continue
		}
		if version, ok := known[name]; !ok || version != s[name].GetVersion() || again[name] {
			changed = append(changed, name)
		}
	}
	// What is asked for by name is kept until Envoy stops asking: it would take
	// the removal of endpoints or secrets for their end.
	if !wildcard[w.request.GetTypeUrl()] {
		return changed, nil
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

// lost returns the names that a request subscribes to without holding them.
// Envoy subscribes again to what it has lost, and the server must then send it
// whatever it sent before (xDS protocol, "Subscribing to resources").
func lost(r *cache.DeltaRequest) (names []string) {
	for _, name := range r.GetResourceNamesSubscribe() {
		if _, holds := r.GetInitialResourceVersions()[name]; !holds {
			names = append(names, name)
		}
	}
	return names
}
