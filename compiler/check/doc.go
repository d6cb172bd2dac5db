// Package check resolves the mesh model into the checked mesh: names become
// pointers, defaults become explicit, contradictions become diagnostics.
//
// In: the fragments that the dialects made. Out: the only input that xDS and
// bundles are made from, and diagnostics; it goes on after an error, so that
// one run shows all of them. It never reads files and never sees a dialect's
// own types.
package check
