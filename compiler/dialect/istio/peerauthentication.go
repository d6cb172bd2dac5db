package istio

import (
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// target reads which workloads a policy selects: those with the labels, else all
// of the namespace; in the root namespace those of every namespace.
func (t *translator) target(spec *load.Node) mesh.Target {
	target := mesh.Target{MeshWide: t.Namespace == mesh.RootNamespace, Span: t.At(spec, "selector")}
	n := spec.Get("selector")
	if n == nil {
		target.Span = t.Origin.Span
	}
	target.Selector = labels(n.Get("matchLabels"))
	for _, f := range n.Get("matchLabels").Entries() {
		if strings.Contains(f.Key+f.Value.Text, "*") {
			t.Wrong(f.Value.Span, "label %s: %s: a selector has no wildcards", f.Key, f.Value.Text)
		}
	}
	if len(target.Selector) > 0 {
		return target
	}
	target.Selector = nil
	target.NamespaceWide = !target.MeshWide
	if n != nil && n.Kind == load.Map {
		t.Warn(n.Span, "the selector has no labels and selects every workload")
	}
	return target
}

// mtlsModes by Istio's names; UNSET is inherited.
var mtlsModes = map[string]mesh.MTLSMode{
	"STRICT": mesh.MTLSStrict, "PERMISSIVE": mesh.MTLSPermissive, "DISABLE": mesh.MTLSDisable,
}

func (t *translator) peerAuthentication(spec *load.Node) {
	p := &mesh.PeerPolicy{
		Origin: t.Origin,
		Target: t.target(spec),
		Mode:   mtlsModes[spec.Get("mtls").TextOf("mode")],
		Span:   t.At(spec.Get("mtls"), "mode"),
	}
	if p.Target.MeshWide && p.Target.Selector != nil {
		d := t.Warn(p.Target.Span, "Istio ignores a PeerAuthentication with a selector in the root namespace %s", mesh.RootNamespace)
		d.SetFix("write it in the namespace of the workloads")
		return
	}
	t.portLevel(spec, p)
	t.out.PeerPolicies = []*mesh.PeerPolicy{p}
}

// portLevel reads the modes of single ports, which are those of the workload.
func (t *translator) portLevel(spec *load.Node, p *mesh.PeerPolicy) {
	f := spec.Field("portLevelMtls")
	if f == nil || f.Value.Kind != load.Map {
		return
	}
	if p.Target.Selector == nil {
		d := t.Wrong(f.KeySpan, "portLevelMtls stands without a selector: only a policy about single workloads has ports")
		d.SetFix("write selector: {matchLabels: ...}")
	}
	for _, entry := range f.Value.Fields {
		port, err := strconv.ParseUint(entry.Key, 10, 16)
		if err != nil || port == 0 {
			t.Wrong(entry.KeySpan, "port %q: want 1 to 65535", entry.Key)
			continue
		}
		if mode := mtlsModes[entry.Value.TextOf("mode")]; mode != mesh.MTLSUnset {
			if p.Ports == nil {
				p.Ports = map[uint32]mesh.MTLSMode{}
			}
			p.Ports[uint32(port)] = mode
		}
	}
}
