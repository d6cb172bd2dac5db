// Package kubernetes knows workloads by the tokens of their service accounts.
//
// In go a token and the audience that it must be for; out comes what the API
// server's TokenReview says of it: namespace, service account and the pod that it
// is bound to. The identity is made of these and of nothing that a client sends.
//
// The package keeps no answer, so that a pod that is deleted gets no certificate
// more; it never logs a token, and reads no other object of the cluster.
package kubernetes
