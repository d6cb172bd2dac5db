// Package dialect is the table of the documents that we read: apiVersion and
// kind to the translator that makes mesh values of them.
//
// In: documents. Out: the fragment of the mesh that each adds, and diagnostics.
// A kind of a policy group that we do not translate is a diagnostic, never
// dropped in silence; other groups are foreign and nobody's error.
package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/gatewayapi"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/istio"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/kubernetes"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/linkerd"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/native"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Translator makes mesh values of one document. The fragment is never nil: it
// holds what could be read, so that one wrong field hides no other finding.
type Translator = func(doc *load.Document) (*mesh.Fragment, diag.List)

// Status says what becomes of a kind.
type Status uint8

// Statuses. Foreign documents are counted and left alone; Unsupported ones
// belong to a policy group and are an error.
const (
	Foreign Status = iota
	Unsupported
	Supported
)

// group is an API group that we read.
type group struct {
	name    string
	dialect mesh.Dialect
	// policy groups say how services may talk: each of their kinds is read or is
	// an error. Of Kubernetes' own groups most kinds are none of our business.
	policy bool
	// instead names the native way, for kinds that we do not translate.
	instead string
}

var groups = []group{
	{"mesh-compile.dev", mesh.Native, true, ""},
	{"networking.istio.io", mesh.Istio, true, "MeshRoute, TrafficPolicy, ExternalService or MeshWorkload"},
	{"security.istio.io", mesh.Istio, true, "AccessPolicy or AuthenticationPolicy"},
	{"telemetry.istio.io", mesh.Istio, true, ""},
	{"extensions.istio.io", mesh.Istio, true, ""},
	{"gateway.networking.k8s.io", mesh.GatewayAPI, true, "MeshRoute"},
	{"policy.linkerd.io", mesh.Linkerd, true, "AccessPolicy or MeshRoute"},
	{"linkerd.io", mesh.Linkerd, true, "MeshRoute"},
	{"", mesh.Kubernetes, false, ""},
	{"apps", mesh.Kubernetes, false, ""},
	{"kustomize.config.k8s.io", mesh.Kubernetes, false, ""},
}

var translators = table()

func table() map[string]Translator {
	all := map[string]Translator{}
	maps.Copy(all, native.Translators())
	maps.Copy(all, istio.Translators())
	maps.Copy(all, linkerd.Translators())
	for kind, translator := range kubernetes.Translators() {
		all[kind] = annotated(translator)
	}
	for kind, translator := range gatewayapi.Translators() {
		all[kind] = annotated(translator)
	}
	return all
}

// annotated also reads what Linkerd's annotations say on objects of Kubernetes and on
// routes of the Gateway API.
func annotated(t Translator) Translator {
	return func(doc *load.Document) (*mesh.Fragment, diag.List) {
		f, diags := t(doc)
		return f, append(diags, linkerd.Annotate(doc, f)...)
	}
}

// Groups returns the API groups that we read, "" for Kubernetes' core.
func Groups() []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.name
	}
	return names
}

// Of returns the dialect of an API group, "" where it is foreign.
func Of(groupName string) mesh.Dialect {
	if g := find(groupName); g != nil {
		return g.dialect
	}
	return ""
}

func find(name string) *group {
	i := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
	if i < 0 {
		return nil
	}
	return &groups[i]
}

// Lookup finds the translator of a kind; nil unless Supported.
func Lookup(apiVersion, kind string) (Translator, Status) {
	if t, ok := translators[apiVersion+" "+kind]; ok {
		return t, Supported
	}
	if g := find(groupOf(apiVersion)); g != nil && g.policy {
		return nil, Unsupported
	}
	return nil, Foreign
}

// Reading tells the loader how to read objects of a kind. Kubernetes owns the
// documents of its groups: their odd spellings are not ours to judge.
func Reading(groupName, kind string) load.Reading {
	g := find(groupName)
	switch {
	case g == nil, groupName == "kustomize.config.k8s.io": // the loader applies kustomizations itself
		return load.Reading{}
	case !g.policy && !slices.Contains(kindsOf(groupName), kind):
		return load.Reading{}
	}
	return load.Reading{Read: true, Strict: g.policy, Cluster: slices.Contains(clusterKinds, kind)}
}

// clusterKinds have no namespace, whatever their group.
var clusterKinds = []string{"Mesh", "Ownership", "Namespace", "GatewayClass"}

// kindsOf returns the kinds of a group that have a translator, sorted.
func kindsOf(groupName string) []string {
	var kinds []string
	for key := range translators {
		version, kind, _ := strings.Cut(key, " ")
		if groupOf(version) == groupName && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Translate makes mesh values of a document, or says why it cannot.
func Translate(doc *load.Document) (*mesh.Fragment, diag.List) {
	t, status := Lookup(doc.APIVersion, doc.Kind)
	switch status {
	case Supported:
		return t(doc)
	case Unsupported:
		return &mesh.Fragment{}, unsupported(doc)
	}
	return &mesh.Fragment{}, nil
}

func unsupported(doc *load.Document) diag.List {
	r := translate.Report{Doc: doc}
	at := doc.Root.Nearest("kind")
	if kinds := kindsOf(doc.Group()); slices.Contains(kinds, doc.Kind) {
		d := r.Errorf(translate.CodeUnsupported, doc.Root.Nearest("apiVersion"), "%s of %s is not supported", doc.Kind, doc.APIVersion)
		d.Fix = &diag.Fix{Message: "write apiVersion " + strings.Join(versionsOf(doc.Group(), doc.Kind), " or ")}
		return r.Diags
	}
	d := r.Errorf(translate.CodeUnsupported, at, "kind %s of %s is not supported", doc.Kind, doc.APIVersion)
	d.Fix = &diag.Fix{Message: instead(doc)}
	return r.Diags
}

// hints are what the dialects know of kinds that they do not translate.
var hints = map[mesh.Dialect]func(kind string) string{
	mesh.Istio:      istio.Instead,
	mesh.GatewayAPI: gatewayapi.Instead,
}

func instead(doc *load.Document) string {
	g := find(doc.Group())
	if known := hints[g.dialect]; known != nil && known(doc.Kind) != "" {
		return known(doc.Kind)
	}
	kinds := kindsOf(doc.Group())
	if near := load.Nearest(doc.Kind, kinds); near != "" {
		return "did you mean " + near + "?"
	}
	var ways []string
	if len(kinds) > 0 {
		ways = append(ways, "of this group we read "+strings.Join(kinds, ", "))
	}
	if g.instead != "" {
		ways = append(ways, "the native kind is "+g.instead)
	}
	if len(ways) == 0 {
		return "remove the document: nothing that we read says the same"
	}
	return strings.Join(ways, "; ")
}

func versionsOf(groupName, kind string) []string {
	var versions []string
	for key := range translators {
		version, k, _ := strings.Cut(key, " ")
		if k == kind && groupOf(version) == groupName {
			versions = append(versions, version)
		}
	}
	slices.Sort(versions)
	return versions
}

func groupOf(apiVersion string) string {
	name, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return name
}
