// Package agent stands beside one Envoy: it gets the workload's certificate,
// takes signed releases from a controller, verifies them, keeps the last good
// one, and serves it to Envoy over a Unix socket.
//
// In go a [Config] and a controller that nothing is believed for; out come a
// running Envoy that obeys the newest release it accepts, and a report of what
// it does. Without a controller, and after any crash, the last good release
// goes on.
//
// A release that is live holds for every new connection. One that was open obeys
// the rules that it came by for one more answer, with which Envoy closes it
// (HTTP/1) or asks to leave it (HTTP/2, GOAWAY). Who does not leave, and what is
// no HTTP, is cut off when the drain time (5 s by default) is over: so long may a
// caller that has lost access still be answered.
//
// [Run] wires the parts, each a package below:
//
//	bootstrap  what Envoy starts with
//	envoy      the process, its admin interface, its version
//	store      what must not be lost
//	fetch      the controller's messages
//	verify     which of them may be served
//	identity   key, certificate and the secrets made of them
//	endpoints  live endpoints within the signed limits
//	authz      OPA's decisions, where a release asks for them
//	xds        what Envoy is served, in an order that breaks nothing
package agent
