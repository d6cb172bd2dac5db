package check

import (
	"embed"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

//go:embed pages/*.md
var pageFiles embed.FS

// facts of the pages that are not text: the usual severity, and the entries of
// the unsafe-route catalogue that the check covers.
var facts = []diag.Page{
	{Code: UnknownDestination, Severity: diag.Error, Catalog: []string{"TL-05"}},
	{Code: UnknownVersion, Severity: diag.Error, Catalog: []string{"TL-06"}},
	{Code: PortMismatch, Severity: diag.Error, Catalog: []string{"TL-07"}},
	{Code: Weights, Severity: diag.Error, Catalog: []string{"TL-09", "TL-10"}},
	{Code: DuplicateHost, Severity: diag.Error, Catalog: []string{"TL-16"}},
	{Code: DuplicateObject, Severity: diag.Error},
	{Code: DuplicatePolicy, Severity: diag.Error},
	{Code: RegexLimit, Severity: diag.Error, Catalog: []string{"AM-20"}},
	{Code: MissingGrant, Severity: diag.Error},
	{Code: MTLSConflict, Severity: diag.Error},
	{Code: SelectsNothing, Severity: diag.Warning},
	{Code: HTTPOnly, Severity: diag.Error},
	{Code: Expired, Severity: diag.Error},
	{Code: OwnAssumption, Severity: diag.Error},
	{Code: DialectDefaults, Severity: diag.Info},
}

// Pages returns the documentation of this package's codes, by code.
func Pages() []diag.Page {
	pages := slices.Clone(facts)
	for i := range pages {
		p := &pages[i]
		text, err := pageFiles.ReadFile("pages/" + string(p.Code) + ".md")
		if err != nil {
			panic("check: code " + string(p.Code) + " has no page") // a test reads them all
		}
		title, doc, _ := strings.Cut(string(text), "\n\n")
		p.Title, p.Doc = strings.TrimPrefix(title, "# "), doc
	}
	slices.SortFunc(pages, func(a, b diag.Page) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return pages
}
