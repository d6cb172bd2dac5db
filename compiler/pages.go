package compiler

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// Pages returns the documentation of every finding, by code.
func Pages() []diag.Page {
	pages := slices.Concat(check.Pages(), analyze.Pages(passes.All()))
	slices.SortFunc(pages, func(a, b diag.Page) int { return cmp.Compare(a.Code, b.Code) })
	return pages
}
