package istio

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// headers reads the changes of request and response.
func (t *translator) headers(n *load.Node, request, response **mesh.HeaderOps) {
	*request = t.headerOps(n.Get("request"), true)
	*response = t.headerOps(n.Get("response"), false)
}

func (t *translator) headerOps(n *load.Node, request bool) *mesh.HeaderOps {
	if n == nil {
		return nil
	}
	ops := &mesh.HeaderOps{
		Set: t.headerValues(n, "set", request),
		Add: t.headerValues(n, "add", request),
	}
	for _, v := range n.TextsOf("remove") {
		if name := strings.ToLower(v.Text); t.changeable(name, load.Field{Key: v.Text, KeySpan: v.Span}, false) {
			ops.Remove = append(ops.Remove, name)
		}
	}
	return ops
}

// headerValues reads headers in the order in which they are written.
func (t *translator) headerValues(n *load.Node, key string, request bool) []mesh.HeaderValue {
	object := n.Get(key)
	if object == nil {
		return nil
	}
	var out []mesh.HeaderValue
	for _, f := range object.Fields {
		name := strings.ToLower(f.Key)
		if name == ":authority" {
			name = "host"
		}
		if !t.changeable(name, f, request) || f.Value.Kind != load.String {
			continue
		}
		if value, ok := t.headerValue(f); ok {
			out = append(out, mesh.HeaderValue{Name: name, Value: value, Span: f.Value.Span})
		}
	}
	return out
}

// headerValue is what Envoy sends: it reads % as the beginning of a format
// ("%DOWNSTREAM_REMOTE_ADDRESS%"), and %% as a percent sign.
func (t *translator) headerValue(f load.Field) (string, bool) {
	if translate.ControlCharacter(f.Value.Text) {
		t.Wrong(f.Value.Span, "header %s: the value %q has a control character, which could end the header", f.Key, f.Value.Text)
		return "", false
	}
	parts := strings.Split(f.Value.Text, "%%")
	if slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(p, "%") }) {
		d := t.Unsupported(f.Value.Span, "header %s: Envoy's formats (%q) are not supported", f.Key, f.Value.Text)
		d.SetFix("write a fixed value; a percent sign is written %%")
		return "", false
	}
	return strings.Join(parts, "%"), true
}

// changeable checks the name of a header that is changed. Only a request's host
// may be, and only by set or add.
func (t *translator) changeable(name string, f load.Field, host bool) bool {
	switch {
	case name == "host" && host:
		return true
	case name == "host" || strings.HasPrefix(name, ":"):
		t.Wrong(f.KeySpan, "header %s cannot be changed as a header", f.Key)
		return false
	case !translate.Token(name):
		t.Wrong(f.KeySpan, "header %q: a header's name is a token", f.Key)
		return false
	case translate.Framing(name):
		d := t.Unsupported(f.KeySpan, "header %s belongs to the connection and is the proxy's own", f.Key)
		d.SetFix("leave it to the proxy")
		return false
	}
	return true
}

// hostOf moves a host that is set as a header of the rule to the rewrite, where
// the model has it. Istio refuses two of them.
func (t *translator) hostOf(r *mesh.Rule) {
	if r.RequestHeaders == nil {
		return
	}
	ops := r.RequestHeaders
	for _, list := range []*[]mesh.HeaderValue{&ops.Set, &ops.Add} {
		*list = slices.DeleteFunc(*list, func(v mesh.HeaderValue) bool {
			if v.Name != "host" {
				return false
			}
			if r.Rewrite == nil {
				r.Rewrite = &mesh.Rewrite{Span: v.Span}
			}
			if r.Rewrite.Host != "" {
				t.Wrong(v.Span, "the authority is rewritten twice, to %q and to %q", r.Rewrite.Host, v.Value)
			}
			r.Rewrite.Host = v.Value
			return true
		})
	}
}
