// Package kubernetes finds the endpoints of the mesh's clusters in Kubernetes.
//
// In go the discovery blobs of the releases in force, and what the API server
// says of EndpointSlices, of pods' labels and of nodes' zones; out come the
// endpoints of each cluster, into the table that agents watch. What the policies
// write of endpoints is joined with them. The compiled model is not needed and not
// touched, and only the clusters of services that changed are computed again.
//
// It keeps as little as it can: of a slice the addresses, of a pod the labels that
// some version is known by, of a node its zone and region, and Services not at
// all: a slice says which service it is of and what its ports are called. It never
// tells of a cluster before everything that the cluster hangs on is known, so that
// nobody is told of no endpoints because a list has not come yet. What it says is
// unsigned: agents hold it to the signed constraints.
package kubernetes
