package diag

import (
	"io/fs"
	"slices"
	"strings"
)

// Page describes a code: its documentation page and how it is decided.
type Page struct {
	Code     Code
	Severity Severity // as reported by default
	Title    string   // one line: "route is never reached"
	Doc      string   // Markdown: what, why, a WRONG and a RIGHT example, how to mend it
	Catalog  []string // ids of the unsafe-route catalogue that it covers
}

// ReadPages adds title and text to the facts of pages, from files CODE.md that
// begin with the title as a heading. The files are embedded: one that is missing
// is a bug that the first test finds.
func ReadPages(files fs.FS, facts []Page) []Page {
	pages := slices.Clone(facts)
	for i := range pages {
		p := &pages[i]
		text, err := fs.ReadFile(files, string(p.Code)+".md")
		if err != nil {
			panic("diag: code " + string(p.Code) + " has no page")
		}
		title, doc, _ := strings.Cut(string(text), "\n\n")
		p.Title, p.Doc = strings.TrimPrefix(title, "# "), doc
	}
	return pages
}
