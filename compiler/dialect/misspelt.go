package dialect

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// Misspelt warns of documents that are not read and seem to be meant for us: of a
// kind that we read, in a group whose name is nearly the right one, or in none. A
// deny in such a document would refuse nobody.
func Misspelt(foreign []load.Foreign) diag.List {
	var out diag.List
	for _, f := range foreign {
		group := groupOf(f.APIVersion)
		if find(group) != nil && f.APIVersion != "" {
			continue // not misspelt: YAML that is broken, or a patch
		}
		meant := groupsWith(f.Kind)
		switch near := load.Nearest(group, meant); {
		case f.APIVersion == "" && len(meant) > 0:
			d := out.Warnf(translate.CodeUnsupported, f.Span, "this %s has no apiVersion and is not read", f.Kind)
			d.Fix = &diag.Fix{Message: "write apiVersion " + versionsOf(meant[0], f.Kind)[0]}
		case near != "":
			d := out.Warnf(translate.CodeUnsupported, f.Span, "%s %s is not read: did you mean %s?", f.APIVersion, f.Kind, near)
			d.Fix = &diag.Fix{Message: "write apiVersion " + versionsOf(near, f.Kind)[0]}
		}
	}
	return out
}

// groupsWith returns the policy groups that have a kind.
func groupsWith(kind string) []string {
	var names []string
	for _, g := range groups {
		if g.policy && slices.Contains(kindsOf(g.name), kind) {
			names = append(names, g.name)
		}
	}
	return names
}
