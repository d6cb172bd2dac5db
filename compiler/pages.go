package compiler

//go:generate go test -count=1 -run ^TestReference$ . -update

import (
	"cmp"
	"embed"
	"io/fs"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

//go:embed pages/*.md
var pageFiles embed.FS

// Pages returns the documentation of every finding, by code. It is also
// docs/reference/diagnostics.
func Pages() []diag.Page {
	files, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		panic(err) // the name is a constant that embed has checked
	}
	own := diag.ReadPages(files, []diag.Page{
		{Code: CodeInternal, Severity: diag.Critical},
		{Code: analyze.CodeWaiver, Severity: diag.Warning},
	})
	pages := slices.Concat(own, load.Pages(), translate.Pages(), check.Pages(), analyze.Pages(passes.All()))
	slices.SortFunc(pages, func(a, b diag.Page) int { return cmp.Compare(a.Code, b.Code) })
	return pages
}
