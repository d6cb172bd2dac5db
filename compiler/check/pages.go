package check

import (
	"embed"
	"io/fs"
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
	{Code: PortConflict, Severity: diag.Warning},
	{Code: Expired, Severity: diag.Error, Catalog: []string{"CR-14"}},
	{Code: OwnAssumption, Severity: diag.Error},
	{Code: ReservedPort, Severity: diag.Error, Catalog: []string{"TL-15"}},
	{Code: EgressAddress, Severity: diag.Error, Catalog: []string{"EG-03", "EG-10"}},
	{Code: UnknownRule, Severity: diag.Error},
	{Code: UnknownGateway, Severity: diag.Error},
	{Code: GatewayHost, Severity: diag.Error, Catalog: []string{"TL-21"}},
	{Code: GatewayRoutes, Severity: diag.Error},
	{Code: ListenerConflict, Severity: diag.Error, Catalog: []string{"TL-15"}},
	{Code: DialectDefaults, Severity: diag.Info},
}

// Pages returns the documentation of this package's codes, by code.
func Pages() []diag.Page {
	files, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		panic(err) // the name is a constant that embed has checked
	}
	pages := diag.ReadPages(files, facts)
	slices.SortFunc(pages, func(a, b diag.Page) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return pages
}
