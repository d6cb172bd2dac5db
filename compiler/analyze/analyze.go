// Package analyze runs analyzers over a checked mesh and applies waivers.
//
// In: a checked mesh and a list of analyzers. Out: diagnostics, those about
// traffic or access with a request that shows them. It changes no mesh, reads
// no clock, and knows no analyzer: package passes lists them.
package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// Analyzer looks for one kind of finding.
type Analyzer struct {
	// Name is the code of its findings, its directory and its help topic.
	Name     diag.Code
	Severity diag.Severity // unless the finding says otherwise
	Catalog  []string      // ids of the unsafe-route catalogue
	// Doc is Markdown: a title, what and why, a WRONG and a RIGHT example.
	Doc string
	// Run reports findings. An error says that the analyzer itself broke.
	Run func(*Pass) error
}

// Page is the analyzer's documentation.
func (a *Analyzer) Page() diag.Page {
	title, doc, _ := strings.Cut(a.Doc, "\n\n")
	return diag.Page{
		Code: a.Name, Severity: a.Severity, Catalog: a.Catalog,
		Title: strings.TrimPrefix(title, "# "), Doc: doc,
	}
}

// Options of Run.
type Options struct {
	// Previous is what an earlier run learned about values that may have been
	// taken over into this mesh.
	Previous *Cache
}

// Cache holds what a run found clean, and facts. Findings are looked for again.
type Cache struct {
	settings  cleanSettings
	analyzers map[diag.Code]*learned
}

// learned is what one analyzer knows of values that it looked at alone.
type learned struct {
	clean   map[any]bool
	columns map[string]any // by topic
}

func (c *Cache) of(code diag.Code) *learned {
	if l := c.analyzers[code]; l != nil {
		return l
	}
	return &learned{}
}

// cleanSettings are the settings that analyzers depend on.
type cleanSettings struct {
	trustDomain          string
	merge, rejectEscaped bool
}

func settingsOf(s *check.Settings) cleanSettings {
	return cleanSettings{s.TrustDomain, s.MergeSlashes, s.RejectEscapedSlashes}
}

// Run applies the analyzers. The list is sorted; the cache is for the next run.
func Run(m *check.Mesh, analyzers []*Analyzer, opt Options) (diag.List, *Cache) {
	next := &Cache{settings: settingsOf(m.Settings()), analyzers: map[diag.Code]*learned{}}
	prev := opt.Previous
	if prev == nil || prev.settings != next.settings {
		prev = &Cache{}
	}
	shared := &shared{mesh: m}
	var out diag.List
	for _, a := range analyzers {
		old := prev.of(a.Name)
		now := &learned{clean: make(map[any]bool, len(old.clean)), columns: map[string]any{}}
		next.analyzers[a.Name] = now
		p := &Pass{Mesh: m, analyzer: a, shared: shared, prev: old, next: now}
		if err := a.Run(p); err != nil {
			p.Report(diag.Diagnostic{Severity: diag.Error, Message: fmt.Sprintf("the analyzer broke: %v", err)})
		}
		out = append(out, p.found...)
	}
	out.Sort()
	return out, next
}

// Pass is one analyzer's run over one mesh.
type Pass struct {
	Mesh *check.Mesh

	analyzer   *Analyzer
	shared     *shared
	prev, next *learned
	found      diag.List
	gateways   map[*check.Port]*check.Workload // who serves a route table of a gateway
}

// Report adds a finding. Code, and severity where it is Info, are the analyzer's.
func (p *Pass) Report(d diag.Diagnostic) {
	d.Code = p.analyzer.Name
	if d.Severity == diag.Info {
		d.Severity = p.analyzer.Severity
	}
	p.found = append(p.found, d)
}

// Once calls look for a value of the mesh that look depends on alone (and on
// settings), unless the run before found nothing in the very same value.
func (p *Pass) Once(value any, look func()) {
	if !p.prev.clean[value] {
		before := len(p.found)
		if look(); len(p.found) > before {
			return
		}
	}
	p.next.clean[value] = true
}

// Pages returns the analyzers' documentation, by code.
func Pages(analyzers []*Analyzer) []diag.Page {
	out := make([]diag.Page, len(analyzers))
	for i, a := range analyzers {
		out[i] = a.Page()
	}
	slices.SortFunc(out, func(a, b diag.Page) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return out
}
