package gatewayapi

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// backendTLSPolicy says that callers of Services of its namespace speak TLS to them.
// What it names is of its own namespace (GEP-1897: local references).
func (t *translator) backendTLSPolicy(spec *load.Node) {
	if len(spec.ItemsOf("targetRefs")) == 0 {
		t.Wrong(t.At(spec, "targetRefs"), "spec has no targetRefs")
		return
	}
	p := &mesh.BackendTLS{Origin: t.Origin}
	v := spec.Get("validation")
	if v == nil {
		return // reported as the shape is
	}
	p.TLS = mesh.ClientTLS{Mode: "simple", SNI: v.TextOf("hostname"), SANs: t.altNames(v), Span: v.Span}
	p.Roots = t.roots(v)
	p.Targets = t.backendTargets(spec)
	if len(p.Targets) > 0 {
		t.out.BackendTLS = []*mesh.BackendTLS{p}
	}
}

// backendTargets reads the Services, each entry with a port's name or none. Of one
// Service there may be several only with different names of ports (the rules of
// targetRefs in the CRD).
func (t *translator) backendTargets(spec *load.Node) []mesh.BackendTarget {
	var out []mesh.BackendTarget
	for _, n := range spec.ItemsOf("targetRefs") {
		groupName, kind := n.TextOf("group"), n.TextOf("kind")
		if !core(groupName) || kind != "Service" {
			d := t.Unsupported(t.At(n, "kind"), "target of kind %s (%s) is not supported", kind, orCore(groupName))
			d.SetFix(`name a Service: {group: "", kind: Service, name: ...}`)
			continue
		}
		target := mesh.BackendTarget{
			Service: mesh.Ref{Name: n.TextOf("name"), Namespace: t.Namespace, Span: t.At(n, "name")},
			Port:    n.TextOf("sectionName"), PortAt: t.At(n, "sectionName"),
		}
		if t.distinct(out, target) {
			out = append(out, target)
		}
	}
	return out
}

func (t *translator) distinct(before []mesh.BackendTarget, target mesh.BackendTarget) bool {
	for _, b := range before {
		if b.Service.Name != target.Service.Name {
			continue
		}
		if b.Port == target.Port {
			t.Wrong(target.Service.Span, "target %s is written twice", target.Service.Name)
			return false
		}
		if b.Port == "" || target.Port == "" {
			d := t.Wrong(target.Service.Span, "target %s is written with and without sectionName", target.Service.Name)
			d.SetFix("write sectionName with a port's name in each of them")
			return false
		}
	}
	return true
}

// altNames are what the certificate is held to instead of hostname.
func (t *translator) altNames(v *load.Node) []string {
	var out []string
	for _, n := range v.ItemsOf("subjectAltNames") {
		key, other := "hostname", "uri"
		if t.choice(n, "type", "Hostname", "URI") == "URI" {
			key, other = other, key
		}
		if f := n.Field(other); f != nil && n.TextOf(other) != "" {
			t.Wrong(f.KeySpan, "%s has no meaning with type %s", other, n.TextOf("type"))
		}
		name := n.TextOf(key)
		switch {
		case name == "":
			t.Wrong(t.At(n, key), "a name of type %s has no %s", n.TextOf("type"), key)
		case strings.HasPrefix(name, "*"):
			d := t.Unsupported(t.At(n, key), "a wildcard as the name of a certificate is not supported")
			d.SetFix("write the whole name that the backend's certificate has")
		case key == "uri" && !strings.Contains(name, "://"):
			t.Wrong(t.At(n, key), "uri %q: want a scheme with ://, such as spiffe://", name)
		default:
			out = append(out, name)
		}
	}
	return out
}

// roots are the ConfigMaps with the CA's certificates; none are the public roots.
func (t *translator) roots(v *load.Node) []mesh.Ref {
	refs, public := v.ItemsOf("caCertificateRefs"), v.Get("wellKnownCACertificates")
	switch {
	case len(refs) > 0 && public != nil:
		t.Wrong(public.Span, "wellKnownCACertificates and caCertificateRefs are both written: want one of them")
	case len(refs) == 0 && public == nil:
		d := t.Wrong(v.Span, "nothing says which CA signs the backend's certificate")
		d.SetFix("write caCertificateRefs with a ConfigMap, or wellKnownCACertificates: System")
	case public != nil && public.Text != "System" && !translate.Placeholder(public.Text):
		d := t.Unsupported(public.Span, "wellKnownCACertificates %q is not supported", public.Text)
		d.SetFix("write System")
	}
	var out []mesh.Ref
	for _, n := range refs {
		groupName, kind := n.TextOf("group"), n.TextOf("kind")
		if !core(groupName) || kind != "ConfigMap" {
			d := t.Unsupported(t.At(n, "kind"), "CA certificates of kind %s (%s) are not supported", kind, orCore(groupName))
			d.SetFix(`name a ConfigMap with ca.crt: {group: "", kind: ConfigMap, name: ...}`)
			continue
		}
		out = append(out, mesh.Ref{Name: n.TextOf("name"), Namespace: t.Namespace, Span: t.At(n, "name")})
	}
	return out
}
