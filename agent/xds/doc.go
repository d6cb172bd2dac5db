// Package xds serves one Envoy over delta ADS and SDS.
//
// In go verified resources as bytes, endpoints and secrets; out goes what
// Envoy is told, in an order in which traffic never meets a half of a change:
// clusters first, listeners and routes once those are acknowledged and warm,
// removals last. What comes back is Envoy's verdict. A release that Envoy
// refuses, or does not warm in time, is taken back.
//
// The package decides nothing about trust and never marshals a resource: bytes
// travel as they were signed, and their digest is the version.
//
// go-control-plane's delta server speaks the protocol. Its caches are not used:
// they have no order across types, and forget what was refused (its issues 564
// and 954). It does not send again what Envoy subscribes to again, which the
// protocol demands of a server when a cluster warms; see diff.
package xds
