package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// encoder writes values as JSON in the order of their fields.
type encoder struct {
	buf bytes.Buffer
	err error
}

func (e *encoder) encode(v any) { e.value(reflect.ValueOf(v)) }

func (e *encoder) json(v any) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && e.err == nil {
		e.err = fmt.Errorf("writing the checked mesh: %w", err)
	}
	e.buf.Write(bytes.TrimRight(text.Bytes(), "\n"))
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
	switch x := v.Interface().(type) {
	case mesh.Origin:
		e.json(string(x.Dialect) + " " + x.Object())
		return
	case time.Time:
		e.json(x)
		return
	}
	e.buf.WriteByte('{')
	first := true
	e.fields(v, &first)
	e.buf.WriteByte('}')
}

var spanType = reflect.TypeFor[source.Span]()

func (e *encoder) fields(v reflect.Value, first *bool) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if !f.IsExported() || f.Type == spanType || f.Type == reflect.SliceOf(spanType) || absent(value) {
			continue
		}
		if f.Anonymous && f.Type != reflect.TypeFor[mesh.Origin]() {
			e.fields(value, first)
			continue
		}
		if !*first {
			e.buf.WriteByte(',')
		}
		*first = false
		e.json(fieldName(f.Name))
		e.buf.WriteByte(':')
		if owns(v.Type(), f.Name) {
			e.list(value, func(item reflect.Value) { e.structure(item.Elem()) })
			continue
		}
		e.value(value)
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

// owns reports whether a field is where its values are written out; elsewhere
// they are named.
func owns(t reflect.Type, field string) bool {
	return t == reflect.TypeFor[Service]() && field == "Ports" || t == reflect.TypeFor[Port]() && field == "Backends"
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
