package compiler

import (
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// Slices returns what generates the slices of a mesh as Compile does, for
// whoever wants to run one without a release: also of a mesh that an analyzer
// refuses, to show on a real Envoy what is wrong with it.
func Slices(m *check.Mesh) func(*check.Workload) (xds.Slice, error) {
	return (&generated{}).next(m).slice
}
