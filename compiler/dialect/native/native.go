// Package native translates documents of mesh-compile.dev/v1alpha1 into the
// mesh model.
//
// In: one document. Out: its fragment of the mesh, and a diagnostic for every
// value that the field does not take, with its place. It never looks at a second
// document: names are resolved and defaults filled by package check. A field
// whose meaning is not implemented yet is the diagnostic "unsupported".
package native

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	return map[string]func(*load.Document) (*mesh.Fragment, diag.List){}
}
