// Package kubernetes plays what happens in a cluster: the roles of the control plane
// as they are deployed, each with its own credentials, a git server, Flux, and real
// Envoys, against a real API server. Package kubetest is the cluster, node runs
// Deployments as processes, flux is the way of a commit into the cluster.
package kubernetes
