// Package check resolves the mesh model into the checked mesh: names become
// pointers, defaults become explicit, contradictions become diagnostics.
//
// Run goes through these phases, each a method of checker:
// settle (mesh-wide defaults), workloads, services, assume (what exists only
// because something names it), policies, routes, access (who is selected),
// expiries, plan (what an earlier run made and still holds), build.
//
// In: the fragments that the dialects made. Out: the only input that xDS and
// bundles are made from, and diagnostics; it goes on after an error, so that
// one run shows all of them. It never reads files and never sees a dialect's
// own types.
package check
