// Package passes lists the analyzers. Each has a directory of its name.
package passes

import (
	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes/invariant"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes/pathprefix"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes/retrymethods"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes/routeshadow"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes/timeoutinversion"
)

// All returns every analyzer, by name.
func All() []*analyze.Analyzer {
	return []*analyze.Analyzer{
		invariant.Analyzer,
		pathprefix.Analyzer,
		retrymethods.Analyzer,
		routeshadow.Analyzer,
		timeoutinversion.Analyzer,
	}
}
