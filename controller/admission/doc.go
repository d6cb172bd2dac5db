// Package admission judges one write to the cluster before it happens: the object
// is laid over those that are there, all are compiled as lint does, and what the
// change brings in is the verdict.
//
// In go the objects of the cluster and the object under review; out come a verdict
// and its findings. Findings that stood before, elsewhere, never refuse a write, nor
// do those that a later object can cure, nor a delete: objects of one commit arrive
// in any order, and the compiler judges the whole. The package serves no HTTP, signs
// and stores nothing.
package admission
