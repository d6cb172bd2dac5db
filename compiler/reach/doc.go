// Package reach answers what a checked mesh does with requests: with one, by
// Evaluate; with all of them at once, by sets of requests that can be
// intersected, subtracted and asked for a witness.
//
// In: a checked mesh, or rules of one. Out: decisions with the rule that made
// them, and witnesses. It answers as our Envoy configuration does and never
// looks at that configuration; tests compare the two. What it cannot prove it
// calls unproven.
package reach
