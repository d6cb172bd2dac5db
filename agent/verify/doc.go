// Package verify turns what a controller sent into a release that may be
// served, or refuses it.
//
// In go bytes from a stranger, the trusted root and the agent's own identity;
// out comes a [Release], every byte of which a release key has signed, or an
// error with a stable code. Package sign does the cryptography and the order;
// here are the blobs, and a last look at the decoded resources for what no
// release may contain whoever signed it: see [Resources].
//
// The package serves nothing and stores nothing but blobs, which name
// themselves.
package verify
