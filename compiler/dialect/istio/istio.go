// Package istio translates documents of Istio's API groups into the mesh model.
//
// In: one document. Out: its fragment of the mesh, and diagnostics.
package istio

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	return map[string]func(*load.Document) (*mesh.Fragment, diag.List){}
}
