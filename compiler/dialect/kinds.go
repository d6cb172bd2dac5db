package dialect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Kind is one kind of documents that we read.
type Kind struct {
	Group, Kind string
	Versions    []string // "v1", "v1beta1", sorted
	Cluster     bool     // has no namespace
	Policy      bool     // says how services may talk; others are facts
	Restricts   bool     // leaving one out may allow more than its author wants
	Translated  bool     // others are errors, whatever they say
}

// unrestricting are the kinds of policies without which nothing more is allowed: they
// direct what is allowed anyway, or open something. Every other kind counts as one
// that restricts, also one that a later dialect brings, and one without a translator
// that may refuse requests: by tokens (RequestAuthentication), by default
// (policy.linkerd.io Server), or by code of its own (EnvoyFilter, WasmPlugin).
var unrestricting = []string{
	"mesh-compile.dev Assumption",
	"mesh-compile.dev ExternalService",
	"mesh-compile.dev Grant",
	"mesh-compile.dev MeshGateway",
	"mesh-compile.dev MeshRoute",
	"mesh-compile.dev MeshWorkload",
	"mesh-compile.dev PolicySync",
	"mesh-compile.dev PolicyTest",
	"mesh-compile.dev TelemetryPolicy",
	"mesh-compile.dev TrafficPolicy",
	"mesh-compile.dev Waiver",
	"networking.istio.io DestinationRule",
	"networking.istio.io Gateway",
	"networking.istio.io ServiceEntry",
	"networking.istio.io VirtualService",
	"telemetry.istio.io Telemetry",
	"gateway.networking.k8s.io BackendTLSPolicy",

	// Without a translator. Gateways and what is bound to them are of an ingress that
	// is not ours.
	"networking.istio.io ProxyConfig",
	"networking.istio.io Sidecar", // as uses and egress of a MeshWorkload
	"networking.istio.io WorkloadEntry",
	"networking.istio.io WorkloadGroup",
	"gateway.networking.k8s.io GRPCRoute",
	"gateway.networking.k8s.io Gateway",
	"gateway.networking.k8s.io GatewayClass",
	"gateway.networking.k8s.io HTTPRoute",
	"gateway.networking.k8s.io ListenerSet",
	"gateway.networking.k8s.io ReferenceGrant",
	"gateway.networking.k8s.io TCPRoute",
	"gateway.networking.k8s.io TLSRoute",
	"gateway.networking.k8s.io UDPRoute",
	"linkerd.io ServiceProfile",
	"policy.linkerd.io MeshTLSAuthentication", // restricts where an AuthorizationPolicy names it
	"policy.linkerd.io NetworkAuthentication",
}

// MeshWide reports whether an object of a group speaks for the whole mesh, and not for
// its namespace.
func MeshWide(groupName, namespace string) bool {
	return namespace == "" || namespace == mesh.RootNamespace && Of(groupName) == mesh.Istio
}

// Of returns what is known of one object of the kind, given its text. A route of the
// Gateway API restricts if it is for a Server of Linkerd, which answers only what its
// routes match. A mention of the group elsewhere counts as well: that errs towards
// closed, and costs no parsing.
func (k Kind) Of(text []byte) Kind {
	if k.Group == "gateway.networking.k8s.io" && slices.Contains(routesOfServers, k.Kind) && bytes.Contains(text, []byte("policy.linkerd.io")) {
		k.Restricts = true
	}
	return k
}

// routesOfServers are the kinds of the Gateway API whose parent a Server may be.
var routesOfServers = []string{"GRPCRoute", "HTTPRoute"}

// Kinds lists the kinds that have a translator, by group and kind.
func Kinds() []Kind { return slices.Clone(translated) }

// KindOf returns what is known of a kind, false where it is foreign. Policy groups have
// kinds without a translator, too: as many as anybody writes.
func KindOf(groupName, kind string) (Kind, bool) {
	if i, ok := index[groupName+" "+kind]; ok {
		return translated[i], true
	}
	if g := find(groupName); g != nil && g.policy {
		return kindIn(g, kind), true
	}
	return Kind{}, false
}

var (
	translated = translatedKinds()
	index      = indexed(translated)
)

func translatedKinds() []Kind {
	var out []Kind
	for i := range groups {
		g := &groups[i]
		for _, kind := range kindsOf(g.name) {
			k := kindIn(g, kind)
			k.Translated = true
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

func kindIn(g *group, kind string) Kind {
	return Kind{
		Group: g.name, Kind: kind, Cluster: slices.Contains(clusterKinds, kind), Policy: g.policy,
		Restricts: g.policy && !slices.Contains(unrestricting, g.name+" "+kind),
	}
}

func indexed(kinds []Kind) map[string]int {
	out := make(map[string]int, len(kinds))
	for i, k := range kinds {
		out[k.Group+" "+k.Kind] = i
	}
	return out
}

// annotationDomains are those whose annotations some dialect reads.
var annotationDomains = []string{"mesh-compile.dev", "istio.io", "linkerd.io"}

// ReadsAnnotation reports whether an annotation may mean something: its domain, or the
// one above, is a dialect's.
func ReadsAnnotation(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return ok && slices.ContainsFunc(annotationDomains, func(d string) bool { return domain == d || strings.HasSuffix(domain, "."+d) })
}
