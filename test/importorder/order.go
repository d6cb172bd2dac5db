// Package importorder holds the project to its import order. In go the table and the packages as
// `go list` describes them; out come the imports that break it. It judges what programs link, not
// what test files import.
package importorder

import (
	"fmt"
	"slices"
	"strings"
)

// Package is what Check reads of a package, in the words of `go list -json`.
type Package struct {
	ImportPath string
	Imports    []string // direct
	Deps       []string // all, also indirect
}

// Order is a parsed table.
type Order struct {
	allowed, forbidden []edge
}

// edge is one a and one b of a line "a < b".
type edge struct{ from, to string }

// Parse reads a table. Lines are independent of each other, and "#" starts a comment.
func Parse(table string) (Order, error) {
	var o Order
	for n, line := range strings.Split(table, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		edges := &o.allowed
		from, to, ok := strings.Cut(line, "!<")
		if ok {
			edges = &o.forbidden
		} else if from, to, ok = strings.Cut(line, "<"); !ok {
			return Order{}, fmt.Errorf("import table, line %d: want %q or %q in %q", n+1, "<", "!<", line)
		}
		for _, f := range names(from) {
			for _, t := range names(to) {
				if f == "" || t == "" {
					return Order{}, fmt.Errorf("import table, line %d: empty name in %q", n+1, line)
				}
				*edges = append(*edges, edge{f, t})
			}
		}
	}
	return o, nil
}

func names(list string) []string {
	all := strings.Split(list, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// Check returns one sentence for each import that the table does not allow and each dependency
// that it forbids, sorted.
func (o Order) Check(module string, packages []Package) []string {
	local := map[string]bool{}
	for _, p := range packages {
		if name, ok := localName(module, p.ImportPath); ok {
			local[name] = true
		}
	}
	var faults []string
	for _, p := range packages {
		if name, ok := localName(module, p.ImportPath); ok {
			faults = append(faults, o.imports(module, name, p, local)...)
			faults = append(faults, o.deps(module, name, p)...)
		}
	}
	slices.Sort(faults)
	return faults
}

// imports judges the direct imports of the project's own packages.
func (o Order) imports(module, name string, p Package, local map[string]bool) []string {
	if unbound(name) {
		return nil
	}
	may := o.mayImport(name, local)
	var faults []string
	for _, path := range p.Imports {
		if imported, ok := localName(module, path); ok && !may[imported] {
			faults = append(faults, fmt.Sprintf("%s imports %s, which the import order does not allow", name, imported))
		}
	}
	return faults
}

// deps judges everything that a package links, third parties included.
func (o Order) deps(module, name string, p Package) []string {
	var faults []string
	for _, e := range o.forbidden {
		if !match(e.to, name) {
			continue
		}
		for _, path := range p.Deps {
			if forbids(module, e.from, path) {
				faults = append(faults, fmt.Sprintf("%s depends on %s, which %q forbids", name, path, e.from+" !< "+e.to))
			}
		}
	}
	return faults
}

// mayImport returns those of the project's packages that name may import: what stands before it in
// the table, and what may be imported by those in turn.
func (o Order) mayImport(name string, local map[string]bool) map[string]bool {
	may := map[string]bool{}
	for next := []string{name}; len(next) > 0; next = next[1:] {
		for _, e := range o.allowed {
			if !match(e.to, next[0]) {
				continue
			}
			for other := range local {
				if match(e.from, other) && !may[other] {
					may[other] = true
					next = append(next, other)
				}
			}
		}
	}
	return may
}

// match says whether a name of the table means the package.
func match(pattern, name string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(name, dir+"/")
	}
	return pattern == name
}

// forbids says whether a name before "!<" means the import path: a package of the project as match
// has it, or a module of others with all its packages.
func forbids(module, pattern, path string) bool {
	if name, ok := localName(module, path); ok {
		return match(pattern, name)
	}
	// The first element of another's import path is a host.
	host, _, _ := strings.Cut(pattern, "/")
	return strings.Contains(host, ".") && (path == pattern || strings.HasPrefix(path, pattern+"/"))
}

// unbound says whether a package may import everything: programs and tests.
func unbound(name string) bool { return match("cmd/*", name) || match("test/*", name) }

// localName returns a package's path inside the module.
func localName(module, path string) (string, bool) {
	return strings.CutPrefix(path, module+"/")
}
