// Package signer gives releases their sequence numbers and signs them with one
// key.
//
// In go a release, where it came from and what is known of earlier numbers; out
// comes a signed document that the mesh's own root accepts. No number is signed
// twice: one is on disk before a signature under it exists.
//
// The package never decides which release is signed, holds no root key, and
// delivers nothing.
package signer
