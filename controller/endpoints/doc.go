// Package endpoints is what the mesh knows of addresses: a table from cluster
// name to endpoints, and a resolver that fills it from written addresses and
// DNS names.
//
// In go targets by cluster name, from whatever source; out come endpoints, and
// to each watch the clusters that changed. Endpoints are live facts: unsigned,
// never part of a release, and judged by the agent against the signed
// constraints. The package does not know where a cluster's name comes from, and
// watches no cluster API.
package endpoints
