package load

import (
	"cmp"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// name fills in a document's name and namespace and adds it to the unit.
//
// A kustomization that lists the file replaces the namespace, also one that the
// document states, because kustomize's namespace transformer does; then comes
// the document's own, then Options.DefaultNamespace, then "default".
func (l *loader) name(doc *Document, reading Reading, file string, u *unit) {
	meta := doc.Root.Get("metadata")
	doc.Name = stringAt(meta, "name")
	place := l.kust.places[file]
	stated := stringAt(meta, "namespace")
	switch {
	case reading.Cluster:
	case place.namespace != "":
		doc.Namespace, doc.NamespaceDefaulted = place.namespace, stated == ""
	case stated != "":
		doc.Namespace = stated
	default:
		doc.Namespace, doc.NamespaceDefaulted = cmp.Or(l.opt.DefaultNamespace, "default"), true
	}
	u.docs = append(u.docs, doc)
	if reading.Strict {
		checkMetadata(doc, u)
	}
	if place.namespace != "" && stated != "" && stated != place.namespace && !reading.Cluster {
		d := u.diags.Add(CodeNamespace, diag.Info, meta.Get("namespace").Span,
			"the kustomization replaces namespace %s by %s, as kustomize does", stated, place.namespace)
		d.Object = doc.Object()
		d.Related = []diag.Related{{Span: place.span, Message: "namespace of the kustomization"}}
	}
}

func stringAt(n *Node, key string) string {
	if v := n.Get(key); v != nil && v.Kind == String {
		return v.Text
	}
	return ""
}

// checkMetadata refuses what Kubernetes would: names end up in host names,
// identities and file names.
func checkMetadata(doc *Document, u *unit) {
	name := doc.Root.At("metadata", "name")
	switch {
	case name == nil:
		d := u.diags.Errorf(CodeMetadata, doc.Root.Nearest("metadata"), "this %s has no metadata.name", doc.Kind)
		d.Object = doc.Object()
	case name.Kind == String && !unresolved(name.Text) && !isDNSName(name.Text, 253, true):
		d := u.diags.Errorf(CodeMetadata, name.Span,
			"name %q: want lower-case letters, digits, - and ., beginning and ending with a letter or digit, at most 253", name.Text)
		d.Object = doc.Object()
	}
	namespace := doc.Root.At("metadata", "namespace")
	if namespace != nil && namespace.Kind == String && !unresolved(namespace.Text) && !isDNSName(namespace.Text, 63, false) {
		d := u.diags.Errorf(CodeMetadata, namespace.Span,
			"namespace %q: want lower-case letters, digits and -, beginning and ending with a letter or digit, at most 63", namespace.Text)
		d.Object = doc.Object()
	}
}

// unresolved placeholders have a diagnostic already.
func unresolved(text string) bool { return strings.Contains(text, "$") }

// collapse drops repetitions of one object in CUE: a package sees the files of
// the same package above it, and a table may name a value twice.
func collapse(docs []*Document) []*Document {
	type name struct{ version, kind, namespace, name string }
	seen := map[name][]*Document{}
	return slices.DeleteFunc(docs, func(d *Document) bool {
		if !d.FromCUE {
			return false
		}
		key := name{d.APIVersion, d.Kind, d.Namespace, d.Name}
		if slices.ContainsFunc(seen[key], func(o *Document) bool { return Equal(o.Root, d.Root) }) {
			return true
		}
		seen[key] = append(seen[key], d)
		return false
	})
}

// Equal reports whether two values are the same, wherever they stand and in
// whatever order their fields are.
func Equal(a, b *Node) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.Kind != b.Kind || a.Text != b.Text || len(a.Fields) != len(b.Fields) || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Fields {
		if other := b.Field(a.Fields[i].Key); other == nil || !Equal(a.Fields[i].Value, other.Value) {
			return false
		}
	}
	for i := range a.Items {
		if !Equal(a.Items[i], b.Items[i]) {
			return false
		}
	}
	return true
}

// isDNSName checks an RFC 1123 label, or with dots a subdomain.
func isDNSName(s string, length int, dots bool) bool {
	if s == "" || len(s) > length {
		return false
	}
	previous := byte('.')
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-' && previous != '.':
		case c == '.' && dots && previous != '.' && previous != '-':
		default:
			return false
		}
		previous = c
	}
	return previous != '-' && previous != '.'
}
