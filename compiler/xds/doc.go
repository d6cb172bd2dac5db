// Package xds turns the checked mesh into what one workload's Envoy is given:
// listeners, route configurations and clusters, one file per Envoy resource.
//
// In: a check.Mesh, one of its workloads, and the access policy of its inbound
// ports as Envoy values. Out: named resources in deterministic protobuf bytes,
// the same for the same input. It never decides access, never reads a document,
// and never makes endpoints or certificates: clusters name them (EDS, SDS), the
// agent answers. An error is a fault of the compiler, never of a policy: check
// refuses what Envoy would not take.
//
// # Names
//
//	cluster              outbound|8080|v1|catalog.shop, inbound|8080
//	listener             outbound; inbound|8080 (capture none) or inbound (redirect)
//	route configuration  outbound (capture none), outbound|8080 (redirect)
//	virtual host         catalog.shop:8080
//	route                the id of the rule
package xds
