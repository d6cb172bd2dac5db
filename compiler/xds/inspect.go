package xds

import (
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// firstBytesWithin is how long a client that speaks first has to do so, where
// that tells TLS from what is not. Who waits longer waits for the server.
const firstBytesWithin = 5 * time.Second

// inspectTLS tells TLS from other bytes. The filter waits for the client's first
// bytes, and Envoy would close the connection of one that waits for the server's
// (listener_filters_timeout), as those of MySQL and SMTP do. So it looks at these
// ports only, or at all where there are none, and time tells the rest apart.
func (p *packer) inspectTLS(l *listenerv3.Listener, ports ...uint32) {
	inspector := p.listenerFilter(tlsInspectorFilter, &tlsinspectorv3.TlsInspector{})
	if len(ports) > 0 {
		inspector.FilterDisabled = otherThan(ports)
	}
	l.ListenerFilters = append(l.ListenerFilters, inspector)
	l.ListenerFiltersTimeout = durationpb.New(firstBytesWithin)
	l.ContinueOnListenerFiltersTimeout = true
}

// otherThan holds for connections to none of the ports.
func otherThan(ports []uint32) *listenerv3.ListenerFilterChainMatchPredicate {
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	var rules []*listenerv3.ListenerFilterChainMatchPredicate
	for _, port := range ports {
		rules = append(rules, &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
				DestinationPortRange: &typev3.Int32Range{Start: int32(port), End: int32(port) + 1}}})
	}
	any := rules[0]
	if len(rules) > 1 { // Envoy's constraints want two
		any = &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{
				OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: rules}}}
	}
	return &listenerv3.ListenerFilterChainMatchPredicate{
		Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: any}}
}
