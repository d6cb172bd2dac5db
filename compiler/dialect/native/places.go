package native

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"strings"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// describes are the fields of a MeshWorkload that make it a workload of its own,
// instead of an addition to others.
var describes = []string{"service", "version", "serviceAccount", "ports", "endpoints", "locality"}

func (t *translator) meshWorkload(spec *load.Node) {
	w := &mesh.Workload{
		Origin:        t.Origin,
		Labels:        podLabels(t.Doc.Root.At("metadata", "labels")),
		Version:       spec.TextOf("version"),
		Locality:      t.locality(spec.Get("locality")),
		Overlay:       true,
		NamespaceWide: spec.IsTrue("namespaceWide"),
		HasUses:       spec.Get("uses") != nil,
		Capture:       mesh.Capture(spec.TextOf("capture")),
		EgressMode:    egress(spec),
		Engine:        mesh.Engine(spec.TextOf("engine")),
	}
	for _, key := range describes {
		f := spec.Field(key)
		if f == nil {
			continue
		}
		w.Overlay = false
		w.Describes = append(w.Describes, mesh.WrittenField{Key: key, Span: f.KeySpan})
		if w.NamespaceWide {
			t.Wrong(f.KeySpan, "%s describes one workload, and the document speaks for the whole namespace", key)
		}
	}
	if !w.Overlay {
		t.identity(spec, w)
	}
	w.Endpoints = t.endpoints(spec, w.Locality)
	w.Uses = t.uses(spec)
	t.out.Workloads = []*mesh.Workload{w}
}

// podLabels are what selectors of Services and policies see of a workload that
// has no pods.
func podLabels(n *load.Node) map[string]string {
	if n == nil {
		return nil
	}
	labels := make(map[string]string, len(n.Fields))
	for i := range n.Fields {
		labels[n.Fields[i].Key] = n.Fields[i].Value.Text
	}
	return labels
}

func (t *translator) identity(spec *load.Node, w *mesh.Workload) {
	w.ServiceAccount = "default"
	if account := spec.TextOf("serviceAccount"); account != "" {
		w.ServiceAccount = account
	}
	if spec.Get("service") != nil {
		ref := t.ref(spec, "service")
		w.Service = &ref
	}
	for _, p := range t.servicePorts(spec) {
		w.Ports = append(w.Ports, mesh.WorkloadPort{Name: p.Name, Number: p.Number, Protocol: p.Protocol, Span: p.Span})
		if p.Target != 0 && p.Target != p.Number {
			t.Unsupported(p.Span, "a targetPort (%d) other than the port (%d) is not supported yet in a MeshWorkload: declare the service with a Kubernetes Service", p.Target, p.Number)
		}
	}
}

// servicePorts reads ports that speak http unless written.
func (t *translator) servicePorts(n *load.Node) []mesh.ServicePort {
	var out []mesh.ServicePort
	for _, item := range n.ItemsOf("ports") {
		p := mesh.ServicePort{
			Name:     item.TextOf("name"),
			Number:   port(item, "port"),
			Protocol: mesh.HTTP,
			Target:   port(item, "targetPort"),
			Span:     t.At(item, ""),
		}
		if hasControl(p.Name) {
			t.Wrong(t.At(item, "name"), "port name %q has control characters", p.Name)
		}
		if item.Get("protocol") != nil {
			p.Protocol = mesh.Protocol(item.TextOf("protocol"))
		}
		out = append(out, p)
	}
	return out
}

func egress(n *load.Node) string {
	return n.Get("egress").TextOf("mode")
}

func (t *translator) uses(spec *load.Node) []mesh.Ref {
	var out []mesh.Ref
	for _, n := range spec.ItemsOf("uses") {
		ref := t.ref(n, which(n, "service", "externalService"))
		ref.Span = t.At(n, "")
		out = append(out, ref)
	}
	return out
}

// hasControl finds characters that no name in a release may have.
func hasControl(name string) bool { return strings.ContainsFunc(name, unicode.IsControl) }

func (t *translator) locality(n *load.Node) string {
	if n == nil {
		return ""
	}
	if n.Get("subZone") != nil && n.Get("zone") == nil {
		t.Wrong(t.At(n, "subZone"), "subZone without zone")
	}
	var parts []string
	for _, key := range []string{"region", "zone", "subZone"} {
		part := n.TextOf(key)
		if strings.Contains(part, "/") {
			t.Wrong(t.At(n, key), "%s %q has a slash, which separates region, zone and subZone", key, part)
		}
		if hasControl(part) {
			t.Wrong(t.At(n, key), "%s %q has control characters", key, part)
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

func (t *translator) endpoints(n *load.Node, locality string) []mesh.Endpoint {
	var out []mesh.Endpoint
	for _, item := range n.ItemsOf("endpoints") {
		e := mesh.Endpoint{
			Address:  t.endpointAddress(item),
			Port:     port(item, "port"),
			Locality: t.locality(item.Get("locality")),
			Weight:   1,
			Span:     t.At(item, ""),
		}
		if e.Locality == "" {
			e.Locality = locality
		}
		if weight := number(item, "weight"); weight != nil {
			e.Weight = *weight
		}
		out = append(out, e)
	}
	return out
}

func (t *translator) endpointAddress(n *load.Node) string {
	if key := which(n, "address", "dns"); key != "address" {
		return t.host(n, "dns")
	}
	return t.address(n, "address")
}

func (t *translator) address(n *load.Node, key string) string {
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		return ""
	}
	a, err := netip.ParseAddr(v.Text)
	if err != nil || a.Zone() != "" {
		t.Wrong(v.Span, "%s %q is no IP address", key, v.Text)
		return v.Text
	}
	return a.Unmap().String()
}

func (t *translator) externalService(spec *load.Node) {
	e := &mesh.External{
		Origin:     t.Origin,
		Ports:      t.servicePorts(spec),
		Resolution: "dns",
		Endpoints:  t.endpoints(spec, ""),
		TLS:        t.upstreamTLS(spec.Get("tls")),
		From:       t.visibleFrom(spec.Get("from")),
	}
	t.refuse(spec, "via", "leave it out: the traffic goes to the destination directly")
	switch spec.TextOf("resolution") {
	case "static":
		e.Resolution = "static"
	case "none":
		t.Unsupported(t.At(spec, "resolution"), "resolution none is not supported yet: write dns or static")
	}
	t.externalHosts(spec, e)
	t.externalEndpoints(spec, e)
	t.out.Externals = []*mesh.External{e}
}

func (t *translator) externalHosts(spec *load.Node, e *mesh.External) {
	seen := map[string]source.Span{}
	for _, v := range spec.ItemsOf("hosts") {
		if v.Kind != load.String {
			continue
		}
		if strings.HasPrefix(v.Text, "*") && len(e.Endpoints) == 0 {
			t.Wrong(v.Span, "host %q has no address that could be resolved: list its endpoints, or name the hosts", v.Text)
		}
		t.unique(seen, v, "host")
		if len(e.Hosts) > 0 && len(e.Endpoints) == 0 && !strings.HasPrefix(e.Hosts[0], "*") {
			// One cluster would resolve all of them and answer for each with any.
			d := t.Unsupported(v.Span, "host %q beside %q without endpoints is not supported yet: a request for one host could reach the address of the other", v.Text, e.Hosts[0])
			d.Fix = &diag.Fix{Message: "write an ExternalService for each host"}
		}
		e.Hosts, e.HostsAt = append(e.Hosts, v.Text), append(e.HostsAt, v.Span)
	}
}

// externalEndpoints holds the endpoints to the resolution.
func (t *translator) externalEndpoints(spec *load.Node, e *mesh.External) {
	if e.Resolution == "static" && len(e.Endpoints) == 0 {
		t.Wrong(t.At(spec, "resolution"), "resolution static needs endpoints with addresses")
	}
	for _, n := range spec.ItemsOf("endpoints") {
		if f := n.Field("dns"); f != nil && e.Resolution == "static" {
			t.Wrong(f.KeySpan, "resolution static takes addresses: write address, or resolution: dns")
		}
	}
}

func (t *translator) visibleFrom(n *load.Node) []string {
	if n == nil {
		return nil
	}
	t.refuse(n, "meshed", "list the namespaces")
	return texts(n, "namespaces")
}

// certificates checks that a text is PEM certificates and nothing else.
func (t *translator) certificates(n *load.Node, key string) string {
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		return ""
	}
	rest, found := []byte(v.Text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			t.Wrong(v.Span, "%s has a PEM block %s: want certificates only", key, block.Type)
			return ""
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Wrong(v.Span, "%s: certificate %d: %v", key, found+1, err)
			return ""
		}
		found++
	}
	if found == 0 || strings.TrimSpace(string(rest)) != "" {
		t.Wrong(v.Span, "%s is not PEM: want one or more BEGIN CERTIFICATE blocks", key)
		return ""
	}
	return v.Text
}
