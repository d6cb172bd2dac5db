// Package istio translates documents of Istio's API groups into the mesh model.
//
// In: one Gateway, VirtualService, DestinationRule, ServiceEntry,
// AuthorizationPolicy, PeerAuthentication or Telemetry. Out: its fragment of the mesh with the meaning that
// Istio's documentation gives it, and a diagnostic with its place for every
// field or value that Istio would refuse, would ignore in silence, or that we do
// not implement. It never looks at a second document: names are resolved and
// defaults filled by package check.
//
// The shape (names, types, unions) is judged by the protobuf descriptors of
// istio.io/api; table fields says of every field whether it is read.
package istio

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// kind is how documents of one kind are read.
type kind struct {
	versions []string
	spec     proto.Message
	read     func(t *translator, spec *load.Node)
}

var (
	networkingVersions = []string{"networking.istio.io/v1alpha3", "networking.istio.io/v1beta1", "networking.istio.io/v1"}
	securityVersions   = []string{"security.istio.io/v1beta1", "security.istio.io/v1"}
	telemetryVersions  = []string{"telemetry.istio.io/v1alpha1", "telemetry.istio.io/v1"}

	kinds = map[string]kind{
		"Gateway":             {networkingVersions, &networking.Gateway{}, (*translator).gateway},
		"VirtualService":      {networkingVersions, &networking.VirtualService{}, (*translator).virtualService},
		"DestinationRule":     {networkingVersions, &networking.DestinationRule{}, (*translator).destinationRule},
		"ServiceEntry":        {networkingVersions, &networking.ServiceEntry{}, (*translator).serviceEntry},
		"AuthorizationPolicy": {securityVersions, &security.AuthorizationPolicy{}, (*translator).authorizationPolicy},
		"PeerAuthentication":  {securityVersions, &security.PeerAuthentication{}, (*translator).peerAuthentication},
		"Telemetry":           {telemetryVersions, &telemetry.Telemetry{}, (*translator).telemetry},
	}
)

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	table := map[string]func(*load.Document) (*mesh.Fragment, diag.List){}
	for name, k := range kinds {
		for _, version := range k.versions {
			table[version+" "+name] = document(k.spec.ProtoReflect().Descriptor(), k.read)
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

// document makes a translator of a kind.
func document(spec protoreflect.MessageDescriptor, read func(*translator, *load.Node)) func(*load.Document) (*mesh.Fragment, diag.List) {
	return func(doc *load.Document) (*mesh.Fragment, diag.List) {
		s := shape{translate.Report{Doc: doc}}
		s.document(spec)
		t := &translator{Report: translate.Report{Doc: doc}}
		t.Origin = t.Report.Origin(mesh.Istio)
		n := doc.Root.Get("spec")
		if n == nil { // an absent spec is an empty one, which for access means something
			n = &load.Node{Kind: load.Map, Span: t.Origin.Span}
		}
		read(t, n)
		return &t.out, append(s.Diags, translate.Elsewhere(t.Diags, s.Diags)...)
	}
}
