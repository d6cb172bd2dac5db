package load

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
		{Code: CodeRead, Severity: diag.Error},
		{Code: CodeYAML, Severity: diag.Error},
		{Code: CodeDuplicateKey, Severity: diag.Error},
		{Code: CodeAmbiguous, Severity: diag.Error},
		{Code: CodeLimit, Severity: diag.Error},
		{Code: CodePlaceholder, Severity: diag.Error},
		{Code: CodeNamespace, Severity: diag.Info},
		{Code: CodeMetadata, Severity: diag.Error},
		{Code: CodeUnrendered, Severity: diag.Info},
		{Code: CodeCUE, Severity: diag.Error},
		{Code: CodeSchema, Severity: diag.Error},
	})
}
