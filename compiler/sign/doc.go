// Package sign makes and checks the signed documents of a mesh: root, release
// and freshness, as DSSE envelopes over strict JSON.
//
// In go documents and private keys, or envelopes, a trusted root, what an
// agent knows about itself and when it is; out come envelopes, or a verified
// release with the state that the agent must keep, or an [*Error] with a
// stable [Code]. The rules are those of TUF (roles, thresholds, a chain of
// roots, rollback and freeze protection) over documents of our own, because a
// TUF target list would make every agent download the hashes of all.
//
// The package never trusts a key identifier or an algorithm that a message
// names, never parses a payload before its signatures are verified (a first
// root, trusted for where it was read from, excepted), reads no clock and
// writes no state. Only making keys uses randomness.
package sign
