// Package linkerd translates documents of Linkerd's API groups, and its
// annotations on Kubernetes objects, into the mesh model.
//
// In: one document. Out: its fragment of the mesh with the meaning that Linkerd's
// documentation gives it, and a diagnostic with its place for every field or value
// that Linkerd would refuse, would ignore in silence, or that we do not implement.
// It never looks at a second document: names are resolved by package check.
//
// Table fields says of every field of Linkerd's CRDs whether it is read.
package linkerd

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const policyGroup = "policy.linkerd.io"

// kind is how documents of one kind are read.
type kind struct {
	versions []string
	read     func(t *translator, spec *load.Node)
}

var kinds = map[string]kind{
	"Server":                {of(policyGroup, "v1alpha1", "v1beta1", "v1beta2", "v1beta3"), (*translator).server},
	"ServerAuthorization":   {of(policyGroup, "v1alpha1", "v1beta1"), (*translator).serverAuthorization},
	"AuthorizationPolicy":   {of(policyGroup, "v1alpha1"), (*translator).authorizationPolicy},
	"MeshTLSAuthentication": {of(policyGroup, "v1alpha1"), (*translator).meshTLSAuthentication},
	"NetworkAuthentication": {of(policyGroup, "v1alpha1"), (*translator).networkAuthentication},
	"ServiceProfile":        {of("linkerd.io", "v1alpha1", "v1alpha2"), (*translator).serviceProfile},
}

func of(group string, versions ...string) []string {
	out := make([]string, len(versions))
	for i, v := range versions {
		out[i] = group + "/" + v
	}
	return out
}

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	table := map[string]func(*load.Document) (*mesh.Fragment, diag.List){}
	for name, k := range kinds {
		for _, version := range k.versions {
			table[version+" "+name] = document(name, k.read)
		}
	}
	return table
}

// translator is the translation of one document.
type translator struct {
	translate.Report
	mesh.Origin
	out mesh.Fragment
}

func document(name string, read func(*translator, *load.Node)) func(*load.Document) (*mesh.Fragment, diag.List) {
	return func(doc *load.Document) (*mesh.Fragment, diag.List) {
		s := shape{translate.Report{Doc: doc}}
		s.document(name)
		t := newTranslator(doc)
		if spec := doc.Root.Get("spec"); spec != nil && spec.Kind == load.Map {
			read(t, spec)
		}
		return &t.out, append(s.Diags, translate.Elsewhere(t.Diags, s.Diags)...)
	}
}

func newTranslator(doc *load.Document) *translator {
	t := &translator{Report: translate.Report{Doc: doc}}
	t.Origin = t.Report.Origin(mesh.Linkerd)
	return t
}
