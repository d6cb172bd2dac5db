package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// nearest returns the candidate that a misspelt name most likely means, the
// first of equals, "" where none is close.
func nearest(name string, candidates []string) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(name, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// suggest names the nearest candidate. It is no edit: the name may as well be
// right and what it names be missing.
func suggest(name string, candidates []string) *diag.Fix {
	best := nearest(name, candidates)
	if best == "" {
		return nil
	}
	return &diag.Fix{Message: fmt.Sprintf("write %q, if that is meant", best)}
}

// suggestService names what a reference may mean: the name in another
// namespace, or a name that is spelt much the same.
func (c *checker) suggestService(ref mesh.Ref, namespace string) *diag.Fix {
	ns, name, local := c.names.place(ref, namespace)
	if !local {
		return suggest(ref.Host, c.hosts())
	}
	if s := c.names.key(refKey(ref, namespace)); s != nil && ref.External {
		return &diag.Fix{Message: fmt.Sprintf("write service: %s, which it is, instead of externalService", s.name)}
	}
	var here, elsewhere []string
	for _, s := range c.names.sites {
		switch {
		case s.virtual || ref.External && s.external == nil:
		case s.ns == ns:
			here = append(here, s.name)
		case s.name == name:
			elsewhere = append(elsewhere, s.key)
		}
	}
	slices.Sort(elsewhere)
	if len(elsewhere) > 0 {
		return &diag.Fix{Message: "there is " + strings.Join(elsewhere[:min(3, len(elsewhere))], ", ") + " in another namespace"}
	}
	slices.Sort(here)
	if fix := suggest(name, here); fix != nil {
		return fix
	}
	return &diag.Fix{Message: "declare it with an Assumption, or use --assume-external, if it exists outside this repository"}
}

func (c *checker) hosts() []string {
	var out []string
	for _, s := range c.names.sites {
		if !s.virtual {
			out = append(out, s.hosts...)
		}
	}
	slices.Sort(out)
	return out
}
