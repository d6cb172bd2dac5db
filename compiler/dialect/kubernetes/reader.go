package kubernetes

import (
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// reader takes single fields out of a document and reports those of a wrong
// type. A missing field and an explicit null are the zero value.
type reader struct{ translate.Report }

func newReader(doc *load.Document) *reader {
	return &reader{translate.Report{Doc: doc}}
}

func (r *reader) wrongType(n *load.Node, field, want string) {
	if n.Kind == load.List || n.Kind == load.Map {
		r.Errorf(load.CodeSchema, n.Span, "%s is the %s, want %s", field, n.Kind, want)
		return
	}
	r.Errorf(load.CodeSchema, n.Span, "%s is the %s %q, want %s", field, n.Kind, n.Text, want)
}

func present(n *load.Node) bool { return n != nil && n.Kind != load.Null }

// at follows keys through objects.
func (r *reader) at(path ...string) *load.Node {
	n := r.Doc.Root
	for _, key := range path {
		if n = n.Get(key); !present(n) {
			return nil
		}
		if n.Kind != load.Map {
			r.wrongType(n, key, "an object")
			return nil
		}
	}
	return n
}

func (r *reader) str(n *load.Node, key string) string {
	v := n.Get(key)
	if !present(v) {
		return ""
	}
	if v.Kind != load.String {
		r.wrongType(v, key, "a string")
		return ""
	}
	return v.Text
}

// list returns the objects of a list.
func (r *reader) list(n *load.Node, key string) []*load.Node {
	v := n.Get(key)
	if !present(v) {
		return nil
	}
	if v.Kind != load.List {
		r.wrongType(v, key, "a list")
		return nil
	}
	var items []*load.Node
	for _, item := range v.Items {
		if item.Kind != load.Map {
			r.wrongType(item, key, "an object")
			continue
		}
		items = append(items, item)
	}
	return items
}

func (r *reader) stringMap(path ...string) map[string]string {
	n := r.at(path...)
	if n == nil {
		return nil
	}
	m := make(map[string]string, len(n.Fields))
	for _, f := range n.Fields {
		switch {
		case f.Value.Kind == load.String:
			m[f.Key] = f.Value.Text
		case present(f.Value):
			r.wrongType(f.Value, path[len(path)-1]+" "+f.Key, "a string: quote it")
		default:
			m[f.Key] = "" // as Kubernetes' decoder reads null
		}
	}
	return m
}

// port reads a required port number.
func (r *reader) port(n *load.Node, key string) (uint32, bool) {
	v := n.Get(key)
	if !present(v) {
		r.Errorf(load.CodeSchema, n.Span, "port without %s: write its number", key)
		return 0, false
	}
	if v.Kind != load.Int {
		r.wrongType(v, key, "a port number")
		return 0, false
	}
	return r.portNumber(v, key)
}

func (r *reader) portNumber(v *load.Node, key string) (uint32, bool) {
	number, err := strconv.ParseUint(v.Text, 10, 16)
	if err != nil || number == 0 {
		r.Errorf(load.CodeSchema, v.Span, "%s %s: want 1 to 65535", key, v.Text)
		return 0, false
	}
	return uint32(number), true
}
