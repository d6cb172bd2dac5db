// Package standalone is the controller without Kubernetes: one process that
// watches a policy repository, compiles it, signs the release and delivers it.
//
// In go a directory or a git branch and a state directory; out come releases,
// certificates and endpoints to agents over gRPC, and the state of all that over
// HTTP. A commit that does not compile changes nothing but that state: the last
// release stays.
//
// The process holds the release key and the X.509 root, so whoever has it has
// the mesh: keys that CI or another process holds are for the controller with
// roles of its own. It never changes the policy repository and needs no root key.
package standalone
