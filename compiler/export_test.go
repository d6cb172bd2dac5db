package compiler

import "github.com/mesh-compile/mesh-compile/compiler/mesh"

// Fragments are what the documents mean.
func (r *Result) Fragments() []*mesh.Fragment { return r.fragments }
