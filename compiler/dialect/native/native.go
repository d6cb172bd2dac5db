// Package native translates documents of mesh-compile.dev/v1alpha1 into the
// mesh model.
//
// In: one document. Out: its fragment of the mesh, and a diagnostic for every
// value that the field does not take, with its place. It never looks at a second
// document: names are resolved and defaults filled by package check. A field
// whose meaning is not implemented yet is the diagnostic "unsupported".
//
// Package structural judges the shape first: types, patterns, bounds, required
// fields and unions. The translators read the nodes, which have the places, and
// judge what a schema cannot say.
package native

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/load/structural"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	kinds := map[string]func(*load.Document) (*mesh.Fragment, diag.List){
		"AccessPolicy":         document((*translator).accessPolicy),
		"Assumption":           document((*translator).assumption),
		"AuthenticationPolicy": document((*translator).authenticationPolicy),
		"ExternalService":      document((*translator).externalService),
		"Grant":                document((*translator).grant),
		"Invariant":            document((*translator).invariant),
		"Mesh":                 document((*translator).mesh),
		"MeshGateway":          document((*translator).meshGateway),
		"MeshRoute":            document((*translator).meshRoute),
		"MeshWorkload":         document((*translator).meshWorkload),
		"PolicySync":           document(func(*translator, *load.Node) {}), // the controller's: its shape is checked
		"PolicyTest":           document((*translator).policyTest),
		"RateLimitPolicy":      document((*translator).rateLimitPolicy),
		"TelemetryPolicy":      document((*translator).telemetryPolicy),
		"TrafficPolicy":        document((*translator).trafficPolicy),
		"Waiver":               document((*translator).waiver),
	}
	table := make(map[string]func(*load.Document) (*mesh.Fragment, diag.List), len(kinds))
	for kind, translate := range kinds {
		table[v1alpha1.APIVersion+" "+kind] = translate
	}
	return table
}

// translator is the translation of one document.
type translator struct {
	translate.Report
	mesh.Origin
	out mesh.Fragment
}

// document makes a translator of a kind.
func document(read func(t *translator, spec *load.Node)) func(*load.Document) (*mesh.Fragment, diag.List) {
	return func(doc *load.Document) (*mesh.Fragment, diag.List) {
		shape := structural.Check(doc)
		t := &translator{Report: translate.Report{Doc: doc}}
		t.Origin = t.Report.Origin(mesh.Native)
		if spec := doc.Root.Get("spec"); spec != nil {
			read(t, spec)
		}
		return &t.out, append(shape, translate.Elsewhere(t.Diags, shape)...)
	}
}
