package istio

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// resolutions by Istio's names. Where none is written it is NONE (service_entry.proto).
var resolutions = map[string]string{"STATIC": "static", "DNS": "dns", "DNS_ROUND_ROBIN": "dns-first"}

// serviceEntry reads a ServiceEntry. Istio makes a service of every host, with a
// cluster and a DestinationRule of its own, and known by the host alone: the name of
// the document names no service.
func (t *translator) serviceEntry(spec *load.Node) {
	e := mesh.External{
		Origin: t.Origin, Resolution: t.resolution(spec), From: t.visibleTo(spec), SANs: plain(spec.TextsOf("subjectAltNames")),
	}
	e.Ports = t.entryPorts(spec)
	e.Endpoints = t.entryEndpoints(spec, &e)
	t.location(spec)
	if len(spec.ItemsOf("hosts")) == 0 {
		t.Wrong(t.At(spec, "hosts"), "the ServiceEntry has no hosts")
	}
	seen := map[string]source.Span{}
	for _, n := range spec.TextsOf("hosts") {
		host := strings.TrimSuffix(strings.ToLower(n.Text), ".")
		t.unique(seen, host, n.Span, "host")
		if seen[host] != n.Span || !t.entryHost(n, &e) {
			continue
		}
		one := e
		one.Service, one.Hosts, one.HostsAt = host, []string{host}, []source.Span{n.Span}
		t.out.Externals = append(t.out.Externals, &one)
	}
}

func (t *translator) entryHost(n *load.Node, e *mesh.External) bool {
	switch {
	case n.Text == "*":
		t.Wrong(n.Span, "host * would take the connections to every service").SetFix("name the hosts")
		return false
	case !t.hostName(n):
		return false
	case strings.HasPrefix(n.Text, "*") && len(e.Endpoints) == 0 && strings.HasPrefix(e.Resolution, "dns"):
		d := t.Wrong(n.Span, "host %q has no address that could be resolved", n.Text)
		d.SetFix("list its endpoints, or name the hosts")
	}
	return true
}

// resolution says where the addresses are from.
func (t *translator) resolution(spec *load.Node) string {
	switch name := spec.TextOf("resolution"); name {
	case "", "NONE":
		what := "resolution NONE is not supported"
		if name == "" {
			what += ", which is meant where none is written"
		}
		d := t.Unsupported(t.At(spec, "resolution"), "%s: connections would go to whatever address the application took for the host", what)
		d.SetFix("write resolution: DNS, and name the hosts instead of a wildcard")
	case "DYNAMIC_DNS":
		d := t.Unsupported(t.At(spec, "resolution"), "resolution DYNAMIC_DNS is not supported: the hosts would be known to no reader of the policy")
		d.SetFix("write resolution: DNS, and name the hosts instead of a wildcard")
	default:
		return resolutions[name]
	}
	return ""
}

// location: in Istio it is for metrics, and for mutual TLS with endpoints that have a
// serviceAccount or say by label that they take it (getTLSModeFromWorkloadEntry),
// neither of which is taken here.
func (t *translator) location(spec *load.Node) {
	if spec.TextOf("location") == "MESH_INTERNAL" {
		d := t.Warn(t.At(spec, "location"), "location MESH_INTERNAL has no effect: endpoints without an identity are called without the mesh's TLS, in Istio too")
		d.SetFix("write a MeshWorkload for a workload of the mesh")
	}
}

// visibleTo is exportTo as namespaces; nil is all.
func (t *translator) visibleTo(spec *load.Node) []string {
	list := spec.TextsOf("exportTo")
	if len(list) == 1 && list[0].Text == "~" {
		return []string{} // Istio's name for no namespace
	}
	var out []string
	for _, namespace := range t.exportTo(spec) {
		switch namespace {
		case "*":
			return nil
		case ".":
			namespace = t.Namespace
		}
		out = append(out, namespace)
	}
	return out
}

func (t *translator) entryPorts(spec *load.Node) []mesh.ServicePort {
	var out []mesh.ServicePort
	if len(spec.ItemsOf("ports")) == 0 {
		t.Wrong(t.At(spec, "ports"), "the ServiceEntry has no ports")
	}
	names, numbers := map[string]source.Span{}, map[string]source.Span{}
	for _, n := range spec.ItemsOf("ports") {
		p := mesh.ServicePort{
			Name: n.TextOf("name"), Number: t.port(n, "number"), Target: t.port(n, "targetPort"),
			Protocol: t.entryProtocol(n), Span: t.At(n, "number"),
		}
		if p.Number == 0 {
			if n.Get("number") == nil {
				t.Wrong(n.Span, "the port has no number")
			}
			continue
		}
		if p.Name == "" {
			t.Wrong(t.At(n, "name"), "the port has no name")
		}
		t.unique(names, p.Name, t.At(n, "name"), "port name")
		before := len(numbers)
		t.unique(numbers, n.Get("number").Text, p.Span, "port")
		if len(numbers) > before {
			out = append(out, p)
		}
	}
	return out
}

// entryProtocol reads what a port speaks (pkg/config/protocol). What Istio knows of
// MySQL and Redis is off unless its installation turns it on.
func (t *translator) entryProtocol(n *load.Node) mesh.Protocol {
	name := n.TextOf("protocol")
	switch strings.ToUpper(name) {
	case "HTTP":
		return mesh.HTTP
	case "HTTP2":
		return mesh.HTTP2
	case "GRPC":
		return mesh.GRPC
	case "HTTPS", "TLS":
		return mesh.TLS
	case "TCP", "MYSQL", "REDIS":
		return mesh.TCP
	case "":
		d := t.Unsupported(t.At(n, "protocol"), "the port has no protocol, which would be guessed from the first bytes of each connection")
		d.SetFix("write protocol: HTTP, HTTP2, GRPC, HTTPS, TLS or TCP")
	case "MONGO":
		t.Unsupported(t.At(n, "protocol"), "protocol %s is not supported", name).SetFix("write TCP")
	case "GRPC-WEB":
		t.Unsupported(t.At(n, "protocol"), "protocol %s is not supported", name).SetFix("write HTTP: the proxy does not translate it to gRPC")
	case "UDP":
		t.Unsupported(t.At(n, "protocol"), "protocol %s is not supported", name).SetFix("remove the port: proxies take TCP alone")
	default:
		t.Wrong(t.At(n, "protocol"), "protocol %q: want HTTP, HTTP2, GRPC, HTTPS, TLS or TCP", name)
	}
	return mesh.TCP
}

func (t *translator) entryEndpoints(spec *load.Node, e *mesh.External) []mesh.Endpoint {
	list := spec.ItemsOf("endpoints")
	resolution := spec.TextOf("resolution")
	switch {
	case len(list) == 0 && e.Resolution == "static":
		t.Wrong(t.At(spec, "resolution"), "resolution STATIC needs endpoints with addresses")
	case len(list) > 1 && e.Resolution == "dns-first":
		t.Wrong(list[1].Span, "resolution DNS_ROUND_ROBIN takes one endpoint")
	case len(list) > 0 && (resolution == "" || resolution == "NONE"):
		t.Wrong(t.At(spec, "endpoints"), "endpoints have no meaning with resolution NONE")
	}
	var out []mesh.Endpoint
	for _, n := range list {
		end := mesh.Endpoint{
			Address: t.entryAddress(n, e), Port: t.entryPort(n, e, list), Locality: t.place(n),
			Labels: t.entryLabels(n), Weight: max(1, zero(t.count(n, "weight"))), Span: t.At(n, "address"),
		}
		if end.Weight > maxEntryWeight {
			t.Wrong(t.At(n, "weight"), "weight is %d: want at most %d", end.Weight, maxEntryWeight)
		}
		if end.Address != "" {
			out = append(out, end)
		}
	}
	return out
}

// maxEntryWeight keeps the sum of the weights within Envoy's 32 bits.
const maxEntryWeight = 1_000_000

func (t *translator) entryAddress(n *load.Node, e *mesh.External) string {
	address := n.TextOf("address")
	ip, err := netip.ParseAddr(address)
	switch {
	case translate.Placeholder(address):
	case address == "":
		t.Wrong(t.At(n, "address"), "the endpoint has no address")
	case strings.HasPrefix(address, "unix:"):
		d := t.Unsupported(t.At(n, "address"), "address %q is a socket of the proxy's machine, which is not supported", address)
		d.SetFix("write the address of a service outside")
		return ""
	case err == nil && ip.Zone() == "":
		return ip.Unmap().String()
	case e.Resolution == "static":
		d := t.Wrong(t.At(n, "address"), "address %q is no IP address, which resolution STATIC takes", address)
		d.SetFix("write resolution: DNS")
	case strings.HasPrefix(address, "*"):
		t.Wrong(t.At(n, "address"), "address %q: a wildcard names no single host", address)
		return ""
	case !t.hostName(n.Get("address")):
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(address), ".")
}

// entryPort is the port of an endpoint, 0 for that of the ServiceEntry. An endpoint
// here has one, so that different ones for several ports have to be alike for all
// endpoints, which is what targetPort says.
func (t *translator) entryPort(n *load.Node, e *mesh.External, list []*load.Node) uint32 {
	own := n.Get("ports")
	for _, f := range own.Entries() {
		named := func(p mesh.ServicePort) bool { return p.Name == f.Key }
		number := t.port(own, f.Key)
		if !slices.ContainsFunc(e.Ports, named) {
			t.Wrong(f.KeySpan, "the ServiceEntry has no port %q", f.Key)
			continue
		}
		if len(e.Ports) == 1 {
			return number
		}
		d := t.Unsupported(f.KeySpan, "ports of an endpoint beside several ports of the ServiceEntry are not supported")
		d.SetFix("write targetPort at the port")
	}
	return 0
}

// place is where an endpoint is.
func (t *translator) place(n *load.Node) string {
	written := n.TextOf("locality")
	if _, ok := locality.Parse(written); written != "" && !ok {
		t.Wrong(t.At(n, "locality"), "locality %q: want region, region/zone or region/zone/subzone", written)
		return ""
	}
	return written
}

// tlsModeLabel makes Istio's clients use mutual TLS to an endpoint.
const tlsModeLabel = "security.istio.io/tlsMode"

func (t *translator) entryLabels(n *load.Node) map[string]string {
	out := labels(n.Get("labels"))
	if mode := out[tlsModeLabel]; mode != "" && mode != "disabled" {
		d := t.Unsupported(t.At(n.Get("labels"), tlsModeLabel), "label %s is not supported: nothing says which identity the endpoint has", tlsModeLabel)
		d.SetFix("write a MeshWorkload for a workload of the mesh")
	}
	return out
}
