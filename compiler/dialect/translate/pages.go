package translate

import (
	"embed"
	"io/fs"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

//go:embed pages/*.md
var pageFiles embed.FS

// Pages returns the documentation of this package's codes.
func Pages() []diag.Page {
	files, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		panic(err) // the name is a constant that embed has checked
	}
	return diag.ReadPages(files, []diag.Page{
		{Code: CodeUnsupported, Severity: diag.Error},
		{Code: CodeValue, Severity: diag.Error},
		{Code: CodeProtocol, Severity: diag.Info},
	})
}
