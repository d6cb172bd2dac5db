// Package cluster keeps what replicas know of proxies in the API server, as
// FleetReports, and reads it from there.
//
// A replica of the deliver role has a [Writer]; whoever wants to know what proxies
// run has a [Reader]. Both need rights on the objects of one namespace and nothing
// else: no discovery, no watch of other kinds.
package cluster
