package pathprefix

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// prefix is one path of a rule. get returns it in a copy of the rule.
type prefix struct {
	rule  *mesh.AccessRule
	match mesh.StringMatch
	get   func(*mesh.AccessRule) *mesh.StringMatch
}

// prefixes returns the rule's path prefixes that end within a segment.
func prefixes(r *mesh.AccessRule) []prefix {
	var out []prefix
	add := func(list func(*mesh.AccessRule) []mesh.StringMatch) {
		for k, m := range list(r) {
			if withinSegment(m) {
				out = append(out, prefix{r, m, func(c *mesh.AccessRule) *mesh.StringMatch { return &list(c)[k] }})
			}
		}
	}
	for i := range r.To {
		add(func(c *mesh.AccessRule) []mesh.StringMatch { return c.To[i].Paths })
		add(func(c *mesh.AccessRule) []mesh.StringMatch { return c.To[i].NotPaths })
	}
	for i := range r.ExceptTo {
		add(func(c *mesh.AccessRule) []mesh.StringMatch { return c.ExceptTo[i].Paths })
	}
	return out
}

// withinSegment: "/admin" and "/v1" do, "/admin/" and "/file-" say where they end.
func withinSegment(m mesh.StringMatch) bool {
	if m.Kind != mesh.Prefix || m.Value == "" {
		return false
	}
	last := m.Value[len(m.Value)-1]
	return !strings.ContainsRune("/-_.~:;,=@", rune(last))
}

// bySegment returns the rule with this prefix compared by segments.
func (p *prefix) bySegment() *mesh.AccessRule {
	c := *p.rule
	c.To, c.ExceptTo = copied(c.To), copied(c.ExceptTo)
	p.get(&c).Kind = mesh.SegmentPrefix
	return &c
}

func copied(operations []mesh.Operation) []mesh.Operation {
	out := slices.Clone(operations)
	for i := range out {
		out[i].Paths, out[i].NotPaths = slices.Clone(out[i].Paths), slices.Clone(out[i].NotPaths)
	}
	return out
}

// withRule returns a port's access with one rule of a list (0 Deny, 1 Allow) replaced.
func withRule(a *check.Access, list, i int, r *mesh.AccessRule) *check.Access {
	c := *a
	c.Deny, c.Allow = slices.Clone(a.Deny), slices.Clone(a.Allow)
	if list == 0 {
		c.Deny[i] = r
	} else {
		c.Allow[i] = r
	}
	return &c
}
