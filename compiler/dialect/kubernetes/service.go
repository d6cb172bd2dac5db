package kubernetes

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func service(doc *load.Document) (*mesh.Fragment, diag.List) {
	r := newReader(doc)
	spec := r.at("spec")
	s := &mesh.Service{
		Origin:   r.Origin(mesh.Kubernetes),
		Labels:   r.stringMap("metadata", "labels"),
		Selector: r.stringMap("spec", "selector"),
		Headless: r.str(spec, "clusterIP") == "None",
	}
	if r.str(spec, "type") == "ExternalName" {
		s.ExternalName = r.str(spec, "externalName")
		s.Selector = nil // Kubernetes ignores it
		if s.ExternalName == "" {
			r.Errorf(load.CodeSchema, doc.Root.Nearest("spec", "type"), "service of type ExternalName has no externalName: write the DNS name that it stands for")
		}
	}
	for _, p := range r.list(spec, "ports") {
		if port, ok := r.servicePort(p); ok {
			s.Ports = append(s.Ports, port)
		}
	}
	r.uniquePorts(s)
	return &mesh.Fragment{Services: []*mesh.Service{s}}, r.Diags
}

func (r *reader) servicePort(n *load.Node) (mesh.ServicePort, bool) {
	number, ok := r.port(n, "port")
	if !ok {
		return mesh.ServicePort{}, false
	}
	port := mesh.ServicePort{Name: r.str(n, "name"), Number: number, Span: n.Span}
	switch transport := r.str(n, "protocol"); transport {
	case "", "TCP":
	case "UDP", "SCTP":
		r.Add(translate.CodeProtocol, diag.Info, n.Nearest("protocol"),
			"port %d is %s, which does not go through the mesh: no route or access rule applies to it", number, transport)
		return mesh.ServicePort{}, false
	default:
		r.Errorf(load.CodeSchema, n.Nearest("protocol"), "protocol %q: want TCP, UDP or SCTP", transport)
		return mesh.ServicePort{}, false
	}
	r.target(n.Get("targetPort"), &port)
	port.Protocol = r.protocol(n, number)
	return port, true
}

// target reads an IntOrString.
func (r *reader) target(n *load.Node, port *mesh.ServicePort) {
	switch {
	case n == nil || n.Kind == load.Null:
	case n.Kind == load.Int:
		if number, ok := r.portNumber(n, "targetPort"); ok {
			port.Target = number
		}
	case n.Kind == load.String:
		port.TargetName = n.Text
	default:
		r.wrongType(n, "targetPort", "a port number or the name of a container port")
	}
}

// uniquePorts refuses what Kubernetes refuses: two ports of one number.
func (r *reader) uniquePorts(s *mesh.Service) {
	seen := map[uint32]mesh.ServicePort{}
	for _, p := range s.Ports {
		first, again := seen[p.Number]
		if !again {
			seen[p.Number] = p
			continue
		}
		d := r.Errorf(load.CodeSchema, p.Span, "port %d is listed twice", p.Number)
		d.Related = []diag.Related{{Span: first.Span, Message: "first here"}}
	}
}
