package mesh

import "github.com/mesh-compile/mesh-compile/compiler/source"

// Gateway is where requests from outside the mesh arrive: listeners that a
// workload's proxies open instead of an application. Native MeshGateway, Istio
// Gateway, Gateway API Gateway.
type Gateway struct {
	Origin
	// Workload serves the gateway: a name in the gateway's namespace. Otherwise
	// all that carry the labels of Selector do, in the gateway's namespace, or in
	// every one with AnyNamespace (Istio).
	Workload     string
	WorkloadAt   source.Span
	Selector     map[string]string
	AnyNamespace bool
	// Class names the GatewayClass of a Gateway API's gateway.
	Class   string
	ClassAt source.Span
	// Sets are the namespaces whose ListenerSets add listeners; nil: none.
	Sets      *SetNamespaces
	Listeners []*Listener
}

// SetNamespaces are namespaces of ListenerSets: every one, those with labels, or else
// the gateway's own (Gateway API, allowedListeners).
type SetNamespaces struct {
	Any    bool
	Labels *LabelSelector
}

// ListenerSet adds listeners to a Gateway, of which another team may be the owner
// (Gateway API, GEP-1713).
type ListenerSet struct {
	Origin
	Gateway   GatewayRef
	Listeners []*Listener
}

// Key is "namespace/name".
func (s *ListenerSet) Key() string { return s.Namespace + "/" + s.Name }

// GatewayController is the controller of the GatewayClasses whose gateways are ours.
const GatewayController = "mesh-compile.dev/gateway"

// GatewayNameLabel is carried by the pods of a Gateway API's gateway (GEP-1762).
const GatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// GatewayClass says whose its gateways are (Gateway API).
type GatewayClass struct {
	Origin
	Controller string
}

// Key is "namespace/name".
func (g *Gateway) Key() string { return g.Namespace + "/" + g.Name }

// ListenerProtocol is what clients of a gateway speak.
type ListenerProtocol string

// Protocols of listeners. HTTPS is HTTP within TLS that ends at the gateway; of
// TLS only the server's name is seen where it is passed through.
const (
	ListenHTTP  ListenerProtocol = "http"
	ListenHTTPS ListenerProtocol = "https"
	ListenTLS   ListenerProtocol = "tls"
	ListenTCP   ListenerProtocol = "tcp"
)

// SeesRequests reports whether requests are seen, and not connections alone.
func (p ListenerProtocol) SeesRequests() bool { return p == ListenHTTP || p == ListenHTTPS }

// IsTLS reports whether clients begin with TLS.
func (p ListenerProtocol) IsTLS() bool { return p == ListenHTTPS || p == ListenTLS }

// Listener is a port of a gateway, for some hosts.
type Listener struct {
	Name     string // unique in the gateway; "" where the dialect needs none
	Port     uint32 // that clients use: where a Service of the workload maps it, the proxy listens on its target
	PortAt   source.Span
	Protocol ListenerProtocol
	Hosts    []ListenerHost // empty: every host
	TLS      *ServerTLS     // HTTPS and TLS
	// RoutesFrom are the namespaces whose routes it takes; AnyNamespace: all.
	// Neither: the gateway's own.
	RoutesFrom   []string
	AnyNamespace bool
	// RoutesFromLabels are the labels of namespaces whose routes it takes as well.
	RoutesFromLabels *LabelSelector
	// RouteKinds are the kinds of the Gateway API's routes that it takes; nil: all.
	RouteKinds []string
	// RedirectToHTTPS answers every request of an HTTP listener with 301.
	RedirectToHTTPS bool
	// Set is the ListenerSet that has the listener; nil: the gateway itself.
	Set  *Origin
	Span source.Span
}

// Section names the listener among all of its gateway: those of a ListenerSet are
// "namespace/set/name".
func (l *Listener) Section() string {
	if l.Set != nil {
		return l.Set.Namespace + "/" + l.Set.Name + "/" + l.Name
	}
	return l.Name
}

// ListenerHost is a host of a listener: lower case, a name, "*.name" or "*".
type ListenerHost struct {
	Name string
	// RoutesFrom, where it is set, holds instead of the listener's: Istio's
	// "namespace/host".
	RoutesFrom []string
	Span       source.Span
}

// TLSTermination is what a gateway does with a client's TLS.
type TLSTermination string

// Modes. Mutual demands a client's certificate, OptionalMutual verifies one that is
// sent. PassThrough opens nothing.
const (
	TLSTerminate      TLSTermination = "terminate"
	TLSMutual         TLSTermination = "mutual"
	TLSOptionalMutual TLSTermination = "optional-mutual"
	TLSPassThrough    TLSTermination = "passthrough"
)

// ServerTLS is how a listener speaks TLS. Certificates and keys are files beside
// the gateway's agent, named here and never part of a release.
type ServerTLS struct {
	Mode TLSTermination
	// Certificates name directories with tls.crt and tls.key; the client's server
	// name and algorithms choose among several.
	Certificates []FileRef
	// ClientCA names a directory with ca.crt, which client certificates are held to.
	ClientCA *FileRef
	// SubjectAltNames of client certificates, any of; empty: every certificate of
	// the CA.
	SubjectAltNames []StringMatch
	MinVersion      string // "1.2" or "1.3"; "": 1.2
	MaxVersion      string // "": 1.3
	CipherSuites    []string
	Span            source.Span
}

// FileRef names files that an operator mounts: one name, without slashes.
type FileRef struct {
	Name string
	Span source.Span
}

// GatewayRef binds a route to a gateway, or to the listeners of a ListenerSet.
type GatewayRef struct {
	Set             bool // a ListenerSet is meant
	Namespace, Name string
	Listener        string // by name; "": all
	Port            uint32 // 0: all
	Span            source.Span
}

// Key is "namespace/name" of the gateway or ListenerSet.
func (r GatewayRef) Key() string { return r.Namespace + "/" + r.Name }

// Names reports whether a listener of the gateway is among those that are meant.
func (r GatewayRef) Names(l *Listener) bool {
	if r.Set != (l.Set != nil) || r.Set && r.Key() != l.Set.Namespace+"/"+l.Set.Name {
		return false
	}
	return (r.Listener == "" || r.Listener == l.Name) && (r.Port == 0 || r.Port == l.Port)
}

// HostName is a host that a route is for at its gateways: a name, "*.name" or "*",
// in lower case.
type HostName struct {
	Name string
	Span source.Span
}
