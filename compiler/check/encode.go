package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// encoder writes values as JSON in the order of their fields.
type encoder struct {
	buf   bytes.Buffer
	err   error
	plans map[reflect.Type][]field
}

func (e *encoder) encode(v any) { e.value(reflect.ValueOf(v)) }

// json writes one value as encoding/json does.
func (e *encoder) json(v any) {
	if s, ok := v.(string); ok && plain(s) {
		e.buf.WriteByte('"')
		e.buf.WriteString(s)
		e.buf.WriteByte('"')
		return
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && e.err == nil {
		e.err = fmt.Errorf("writing the checked mesh: %w", err)
	}
	e.buf.Write(bytes.TrimRight(text.Bytes(), "\n"))
}

// plain reports text that stands in JSON as it is. It is nearly all text here,
// and an encoder for each costs most of the time.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

func (e *encoder) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		e.pointer(v)
	case reflect.Struct:
		e.structure(v)
	case reflect.Slice:
		e.list(v, e.value)
	case reflect.Map:
		e.mapping(v)
	case reflect.Bool:
		e.buf.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Uint32, reflect.Uint64:
		e.buf.WriteString(strconv.FormatUint(v.Uint(), 10))
	case reflect.String:
		e.json(v.String())
	default:
		e.scalar(v)
	}
}

func (e *encoder) pointer(v reflect.Value) {
	if v.IsNil() {
		e.buf.WriteString("null")
		return
	}
	if text, named := name(v.Interface()); named {
		e.json(text)
		return
	}
	e.value(v.Elem())
}

func (e *encoder) scalar(v reflect.Value) {
	switch x := v.Interface().(type) {
	case time.Duration:
		e.json(x.String())
	case mesh.MatchKind:
		e.json(x.String())
	default:
		e.json(x)
	}
}

func (e *encoder) structure(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[mesh.Origin]():
		o := v.Interface().(mesh.Origin)
		e.json(string(o.Dialect) + " " + o.Object())
		return
	case reflect.TypeFor[time.Time]():
		e.json(v.Interface())
		return
	}
	e.buf.WriteByte('{')
	first := true
	e.fields(v, &first)
	e.buf.WriteByte('}')
}

// field is one field of a struct type as it is written.
type field struct {
	index    int
	name     string
	embedded bool // its fields stand with those of the struct
	owned    bool // its values are written out; elsewhere they are named
}

// plan lists the fields of a struct type that are written: exported ones that
// are no positions.
func plan(t reflect.Type) []field {
	span := reflect.TypeFor[source.Span]()
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == span || f.Type == reflect.SliceOf(span) {
			continue
		}
		out = append(out, field{
			index: i, name: fieldName(f.Name),
			embedded: f.Anonymous && f.Type != reflect.TypeFor[mesh.Origin](),
			owned:    t == reflect.TypeFor[Service]() && f.Name == "Ports" || t == reflect.TypeFor[Port]() && f.Name == "Backends",
		})
	}
	return out
}

func (e *encoder) fields(v reflect.Value, first *bool) {
	fields, ok := e.plans[v.Type()]
	if !ok {
		fields = plan(v.Type())
		e.plans[v.Type()] = fields
	}
	for _, f := range fields {
		value := v.Field(f.index)
		switch {
		case absent(value):
			continue
		case f.embedded:
			e.fields(value, first)
			continue
		case !*first:
			e.buf.WriteByte(',')
		}
		*first = false
		e.json(f.name)
		e.buf.WriteByte(':')
		if f.owned {
			e.list(value, func(item reflect.Value) { e.structure(item.Elem()) })
		} else {
			e.value(value)
		}
	}
}

// fieldName is a Go name in JSON's habit: ID is id, IPBlocks is ipBlocks.
func fieldName(name string) string {
	capitals := len(name) - len(strings.TrimLeft(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
	if rest := name[capitals:]; capitals > 1 && rest != "" && rest != "s" {
		capitals-- // the last one begins the next word
	}
	return strings.ToLower(name[:capitals]) + name[capitals:]
}

// absent reports a value that goes without saying. The zero kind of a match is
// "exact", which is said.
func absent(v reflect.Value) bool {
	if v.Type() == reflect.TypeFor[mesh.MatchKind]() {
		return false
	}
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 || v.Kind() == reflect.Map && v.Len() == 0
}

func (e *encoder) list(v reflect.Value, item func(reflect.Value)) {
	e.buf.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			e.buf.WriteByte(',')
		}
		item(v.Index(i))
	}
	e.buf.WriteByte(']')
}

func (e *encoder) mapping(v reflect.Value) {
	byKey := make(map[string]reflect.Value, v.Len())
	for _, k := range v.MapKeys() {
		byKey[fmt.Sprint(k.Interface())] = v.MapIndex(k)
	}
	e.buf.WriteByte('{')
	for i, k := range slices.Sorted(maps.Keys(byKey)) {
		if i > 0 {
			e.buf.WriteByte(',')
		}
		e.json(k)
		e.buf.WriteByte(':')
		e.value(byKey[k])
	}
	e.buf.WriteByte('}')
}
