// Package gatewayapi translates documents of the Kubernetes Gateway API into the
// mesh model, and HTTPRoute of Linkerd (policy.linkerd.io), which is a copy of that of
// the Gateway API.
//
// In: one GatewayClass, Gateway, ListenerSet, route, ReferenceGrant or BackendTLSPolicy. Out: its fragment of the mesh
// with the meaning that the specification gives it, and a diagnostic with its
// place for every field or value that the specification forbids, that would be
// without effect, or that we do not implement. It never looks at a second
// document: package check resolves names and merges the routes of one parent.
//
// The shape (names, types) is judged by the Go types of sigs.k8s.io/gateway-api;
// table fields says of every field whether it is read.
package gatewayapi

import (
	"reflect"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// group is the API group of every kind but Linkerd's HTTPRoute.
const (
	group        = "gateway.networking.k8s.io"
	linkerdGroup = "policy.linkerd.io"
)

// kind is how documents of one kind are read. Versions are those that the CRDs of
// the module's release serve, and older ones that are still written.
type kind struct {
	group    string
	name     string
	versions []string
	spec     reflect.Type
	read     func(t *translator, spec *load.Node)
}

var kinds = []kind{
	{group, "HTTPRoute", []string{"v1", "v1beta1"}, reflect.TypeFor[gateway.HTTPRouteSpec](), (*translator).httpRoute},
	{group, "GRPCRoute", []string{"v1", "v1alpha2"}, reflect.TypeFor[gateway.GRPCRouteSpec](), (*translator).grpcRoute},
	{group, "TLSRoute", []string{"v1", "v1alpha2", "v1alpha3"}, reflect.TypeFor[gateway.TLSRouteSpec](), (*translator).tlsRoute},
	{group, "TCPRoute", []string{"v1", "v1alpha2"}, reflect.TypeFor[gateway.TCPRouteSpec](), (*translator).tcpRoute},
	{group, "Gateway", []string{"v1", "v1beta1"}, reflect.TypeFor[gateway.GatewaySpec](), (*translator).gateway},
	{group, "GatewayClass", []string{"v1", "v1beta1"}, reflect.TypeFor[gateway.GatewayClassSpec](), (*translator).gatewayClass},
	{group, "ListenerSet", []string{"v1"}, reflect.TypeFor[gateway.ListenerSetSpec](), (*translator).listenerSet},
	{group, "ReferenceGrant", []string{"v1", "v1beta1"}, reflect.TypeFor[gateway.ReferenceGrantSpec](), (*translator).referenceGrant},
	{group, "BackendTLSPolicy", []string{"v1"}, reflect.TypeFor[gateway.BackendTLSPolicySpec](), (*translator).backendTLSPolicy},
	{linkerdGroup, "HTTPRoute", []string{"v1alpha1", "v1beta1", "v1beta2", "v1beta3"}, reflect.TypeFor[linkerdHTTPRouteSpec](), (*translator).httpRoute},
}

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	table := map[string]func(*load.Document) (*mesh.Fragment, diag.List){}
	for _, k := range kinds {
		for _, version := range k.versions {
			table[k.group+"/"+version+" "+k.name] = document(k)
		}
	}
	return table
}

// translator is the translation of one document.
type translator struct {
	translate.Report
	mesh.Origin
	// guards is set for a route that is for Servers alone: it sends nothing anywhere.
	guards bool
	// servedIn is the namespace of the gateway whose listeners are read.
	servedIn string
	out      mesh.Fragment
}

// linkerd reports a document of Linkerd's group.
func (t *translator) linkerd() bool { return t.Dialect == mesh.Linkerd }

// document makes a translator of a kind.
func document(k kind) func(*load.Document) (*mesh.Fragment, diag.List) {
	return func(doc *load.Document) (*mesh.Fragment, diag.List) {
		s := shape{translate.Report{Doc: doc}}
		s.document(k.spec)
		t := &translator{Report: translate.Report{Doc: doc}}
		t.Origin = t.Report.Origin(mesh.GatewayAPI)
		if k.group == linkerdGroup {
			t.Dialect = mesh.Linkerd
		}
		spec := doc.Root.Get("spec")
		if spec == nil {
			spec = &load.Node{Kind: load.Map, Span: t.Origin.Span}
		}
		k.read(t, spec)
		return &t.out, append(s.Diags, translate.Elsewhere(t.Diags, s.Diags)...)
	}
}
