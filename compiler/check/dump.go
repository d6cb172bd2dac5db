package check

import (
	"cmp"
	"fmt"
	"reflect"
	"sync"
)

// Dump writes the checked mesh as canonical JSON: what it says and no positions,
// so that an inserted line changes nothing. Fields without a value are left out;
// services, ports, backends and workloads are named where something points to
// them. What the previous run's mesh wrote of a value that was taken over is
// written again as it is.
func (m *Mesh) Dump() ([]byte, error) {
	e := &encoder{plans: map[reflect.Type][]field{}}
	d := m.state.dumps
	d.mu.Lock()
	defer d.mu.Unlock()
	e.buf.Grow(d.size)
	e.buf.WriteString("{\"version\":1,\"settings\":")
	e.encode(&m.settings)
	e.buf.WriteString(",\n\"services\":[")
	for i, s := range m.services {
		e.separate(i)
		e.buf.Write(d.text(e, s))
	}
	e.buf.WriteString("],\n\"workloads\":[")
	scopes := map[scopeList]string{}
	for i, w := range m.workloads {
		e.separate(i)
		server := m.state.nodes[i].server
		e.buf.WriteString("{\"server\":")
		e.buf.Write(d.text(e, server))
		e.uses(w, scopes)
		if len(w.Gateway) > 0 {
			e.buf.WriteString(",\"gateway\":")
			e.encode(w.Gateway)
		}
		if w.Telemetry != nil {
			e.buf.WriteString(",\"telemetry\":")
			e.encode(w.Telemetry)
		}
		if len(w.Limits) > 0 {
			e.buf.WriteString(",\"limits\":")
			e.encode(w.Limits)
		}
		e.buf.WriteByte('}')
	}
	e.buf.WriteString("]}\n")
	d.size = e.buf.Len()
	return e.buf.Bytes(), e.err
}

// dumps holds the text of services and of workloads' server sides.
type dumps struct {
	mu       sync.Mutex
	texts    map[any][]byte
	previous map[any][]byte
	size     int // of the whole, for the next
}

// carry starts the dumps of the next mesh with those of this one.
func (d *dumps) carry() *dumps {
	next := &dumps{texts: map[any][]byte{}}
	if d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		next.previous, next.size = d.texts, d.size+d.size/16
	}
	return next
}

// text writes a service or workload; errors go to the encoder of the whole.
func (d *dumps) text(whole *encoder, key any) []byte {
	if text, ok := d.texts[key]; ok {
		return text
	}
	text, ok := d.previous[key]
	if !ok {
		e := &encoder{plans: whole.plans}
		e.structure(reflect.ValueOf(key).Elem())
		text, whole.err = e.buf.Bytes(), cmp.Or(whole.err, e.err)
	}
	d.texts[key] = text
	return text
}

// scopeList identifies a list that workloads share.
type scopeList struct {
	first  **Service
	length int
}

// uses writes a workload's scope, or whose scope it is that was written before:
// where everyone sees everyone the lists would be most of the text.
func (e *encoder) uses(w *Workload, seen map[scopeList]string) {
	if w.UsesDeclared {
		e.buf.WriteString(",\"usesDeclared\":true")
	}
	if len(w.Uses) == 0 {
		return
	}
	list := scopeList{&w.Uses[0], len(w.Uses)}
	if first, ok := seen[list]; ok {
		e.buf.WriteString(",\"usesLike\":")
		e.json(first)
		return
	}
	seen[list] = w.Key()
	keys := make([]string, len(w.Uses))
	for i, s := range w.Uses {
		keys[i] = s.Key()
	}
	e.buf.WriteString(",\"uses\":")
	e.json(keys)
}

func (e *encoder) separate(i int) {
	if i > 0 {
		e.buf.WriteByte(',')
	}
	e.buf.WriteByte('\n')
}

// name of a value that something points to.
func name(v any) (string, bool) {
	switch v := v.(type) {
	case *Service:
		return v.Key(), true
	case *Port:
		return fmt.Sprintf("%s:%d", v.Service.Key(), v.Number), true
	case *Backend:
		base, _ := name(v.Port)
		if v.Version != "" {
			base += "/" + v.Version
		}
		return base, true
	case *Workload:
		return v.Key(), true
	}
	return "", false
}
