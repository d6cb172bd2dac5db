// Package authz turns the access rules of a checked workload into what decides
// requests: Envoy RBAC, and an OPA bundle that decides the same.
//
// In: a checked mesh and one of its workloads. Out: RBAC policies by inbound
// port, and a bundle, unsigned or signed for a stock OPA. Both come from the same
// rules and give the same answers, with the same rule named; package reach's
// evaluator is the third who must agree. It never looks at routes and knows
// nothing of xDS resources: the compiler hands its policies to package xds as
// values.
//
// A bundle has the library of package policies, which reads requests and makes
// the decision, and generated rules that say which of the workload's hold. Rules
// are made as OPA's syntax trees and rendered by its formatter. Many rules of
// exact callers, methods and paths are data instead.
package authz
