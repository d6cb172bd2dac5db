// Package signing is the sign role: it signs the Releases that were compiled in the
// cluster.
//
// In go Release objects without a signature, their content from the store, the
// release key and the root document; out come signatures in their status, each
// under a sequence number of its own, and again before they expire.
//
// Only the newest Release is ever signed: a signature makes a release live, and an
// older one must not come after a newer. What is signed is held to the root: its
// trust domain, and X.509 roots that this role was given, so that a controller
// without the key adds no root of its own to the mesh. The package compiles nothing
// and reads no policy; whether a release is safe was decided before.
package signing
