package load

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// kustomizations is what the kustomizations of a repository say about its other
// files. Only the namespace is applied; rendering is kustomize's work.
type kustomizations struct {
	byDir  map[string]*kustomization
	places map[string]placement
}

// placement of one file.
type placement struct {
	namespace string      // "" where no kustomization sets one
	span      source.Span // of that namespace
	patch     bool        // a part of an object, which is counted as foreign
}

type kustomization struct {
	file      string
	namespace string
	span      source.Span
	resources []string // files and directories, relative to the repository
	patches   []string
}

func isKustomization(name string) bool {
	switch path.Base(name) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		return true
	}
	return false
}

// ignorable fields leave the objects we read as they are.
var ignorable = []string{
	"apiVersion", "kind", "metadata", "namespace", "resources", "bases", "components", "images", "configMapGenerator", "secretGenerator",
	"generatorOptions", "commonAnnotations", "openapi", "crds", "configurations", "sortOptions", "buildMetadata",
}

// readKustomizations reads them and follows their resources. An outer
// kustomization replaces the namespace that an inner one sets. Where several
// outermost ones place a file differently (overlays of one base), none applies.
func (l *loader) readKustomizations(files []*file) kustomizations {
	k := kustomizations{byDir: map[string]*kustomization{}, places: map[string]placement{}}
	for _, f := range files {
		if !isKustomization(f.path) {
			continue
		}
		u := &unit{}
		l.units[f.path] = u
		if one := l.readKustomization(f, u); one != nil {
			k.byDir[path.Dir(f.path)] = one
		}
	}
	if len(k.byDir) == 0 {
		return k
	}
	inner := map[string]bool{}
	for _, one := range k.byDir {
		for _, r := range one.resources {
			inner[r] = true
		}
		for _, p := range one.patches {
			k.places[p] = placement{patch: true}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(k.byDir)) {
		if !inner[dir] {
			l.place(&k, dir, placement{}, files, map[string]bool{})
		}
	}
	return k
}

// place follows a kustomization that nothing includes, or the directory of one
// that is included.
func (l *loader) place(k *kustomizations, dir string, outer placement, files []*file, visiting map[string]bool) {
	one := k.byDir[dir]
	if one == nil || visiting[dir] {
		return
	}
	visiting[dir] = true
	defer delete(visiting, dir)
	if outer.namespace == "" {
		outer = placement{namespace: one.namespace, span: one.span}
	}
	for _, r := range one.resources {
		if k.byDir[r] != nil {
			l.place(k, r, outer, files, visiting)
			continue
		}
		i, _ := slices.BinarySearchFunc(files, r, func(f *file, r string) int { return strings.Compare(f.path, r) })
		if i < len(files) && files[i].path == r {
			l.placeFile(k, r, outer)
			continue
		}
		for _, f := range files { // a directory without a kustomization
			if path.Dir(f.path) == r {
				l.placeFile(k, f.path, outer)
			}
		}
	}
}

func (l *loader) placeFile(k *kustomizations, name string, p placement) {
	old, found := k.places[name]
	switch {
	case old.patch || p.namespace == "" && found:
		return
	case !found || old.namespace == p.namespace:
		k.places[name] = p
		return
	case old.namespace != "":
		d := l.diags.Add(CodeNamespace, diag.Info, p.span,
			"%s is placed into namespace %s here and into %s elsewhere: neither is applied; lint the rendered overlays (kustomize build) instead",
			name, p.namespace, old.namespace)
		d.Related = []diag.Related{{Span: old.span, Message: "namespace " + old.namespace}}
		k.places[name] = placement{span: p.span}
	}
}

// readKustomization reads one file, and says which of its fields are not
// applied.
func (l *loader) readKustomization(f *file, u *unit) *kustomization {
	var pieces []piece
	if pieces = l.split(f, &u.diags); len(pieces) == 0 {
		return nil
	}
	var n yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(pieces[0].text)).Decode(&n); err != nil {
		u.diags.Errorf(CodeYAML, source.At(f.path, 1, 1), "reading the kustomization: %v", err)
		return nil
	}
	if len(n.Content) == 0 || n.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	root := n.Content[0]
	c := &converter{loader: l, piece: pieces[0], unit: u}
	one := &kustomization{file: f.path}
	if ns := field(root, "namespace"); ns != nil && ns.Kind == yaml.ScalarNode && ns.Tag == "!!str" {
		one.namespace, one.span = ns.Value, c.place(ns)
	}
	dir := path.Dir(f.path)
	one.resources = append(paths(dir, field(root, "resources")), paths(dir, field(root, "bases"))...)
	one.resources = append(one.resources, paths(dir, field(root, "components"))...)
	one.patches = append(paths(dir, field(root, "patchesStrategicMerge")), paths(dir, field(root, "patches"))...)
	var unrendered []string
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := root.Content[i].Value; !slices.Contains(ignorable, key) {
			unrendered = append(unrendered, key)
		}
	}
	if len(unrendered) > 0 {
		u.diags.Add(CodeUnrendered, diag.Info, c.place(root),
			"%s of this kustomization are not applied: to judge the rendered objects, pass the output of kustomize build", strings.Join(unrendered, ", "))
	}
	return one
}

// paths reads a list of files: entries are names or objects with a path.
func paths(dir string, list *yaml.Node) []string {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	var out []string
	for _, item := range list.Content {
		name := item.Value
		if item.Kind == yaml.MappingNode {
			name = scalarField(item, "path")
		}
		if name != "" && !strings.ContainsAny(name, "\n:?") { // inline patches and URLs
			out = append(out, path.Join(dir, name))
		}
	}
	return out
}
