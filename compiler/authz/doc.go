// Package authz turns the access rules of a checked workload into what decides
// requests: Envoy RBAC, and an OPA bundle that decides the same.
//
// In: a checked mesh and one of its workloads. Out: RBAC policies by inbound
// port, and the files of a bundle. Both come from the same rules and must give
// the same answers. It never looks at routes and knows nothing of xDS
// resources: the compiler hands its policies to package xds as values.
package authz
