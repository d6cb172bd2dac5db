package compiler

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// Pages returns the documentation of every finding, by code.
func Pages() []diag.Page {
	pages := check.Pages()
	slices.SortFunc(pages, func(a, b diag.Page) int { return cmp.Compare(a.Code, b.Code) })
	return pages
}
