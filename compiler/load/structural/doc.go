// Package structural judges native documents one by one against the JSON Schema
// of package schemas: unknown fields, types, enums, patterns, bounds, required
// fields, and which fields may stand together.
//
// In: a loaded document. Out: a diagnostic with the place of every fault. It is
// the fast path that makes evaluating CUE unnecessary for YAML, and what holds
// for CUE where its definitions say less. It never looks at a second document
// and never resolves a name.
package structural
