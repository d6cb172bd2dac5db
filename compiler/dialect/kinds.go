package dialect

import (
	"slices"
)

// Kind is one kind of documents that we read.
type Kind struct {
	Group, Kind string
	Versions    []string // "v1", "v1beta1", sorted
	Cluster     bool     // has no namespace
	Policy      bool     // says how services may talk; others are facts
}

// Kinds lists the kinds that have a translator, by group and kind.
func Kinds() []Kind {
	var out []Kind
	for _, g := range groups {
		for _, kind := range kindsOf(g.name) {
			k := Kind{Group: g.name, Kind: kind, Cluster: slices.Contains(clusterKinds, kind), Policy: g.policy}
			for _, version := range versionsOf(g.name, kind) {
				if g.name != "" {
					version = version[len(g.name)+1:]
				}
				k.Versions = append(k.Versions, version)
			}
			out = append(out, k)
		}
	}
	return out
}
