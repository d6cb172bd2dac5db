package load

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Decode fills out, a pointer, from n by the json tags of Go structs. It is
// strict as a structural schema is: an unknown field, a wrong type, a number
// out of range and a null are each a diagnostic at their place, and decoding
// goes on after them. Keys are case-sensitive. A field of type *Node takes the
// value as it is, and types with UnmarshalJSON or UnmarshalText decode
// themselves. object is the document's name for the diagnostics.
func Decode(n *Node, out any, object string) diag.List {
	d := &decoder{object: object}
	if n == nil {
		return nil
	}
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("load.Decode: out is no pointer")
	}
	d.value(n, v.Elem(), "")
	return d.diags
}

type decoder struct {
	object string
	diags  diag.List
}

func (d *decoder) errorf(at source.Span, format string, args ...any) *diag.Diagnostic {
	x := d.diags.Errorf(CodeSchema, at, format, args...)
	x.Object = d.object
	return x
}

// mismatch reports a value of the wrong type. name is the field's.
func (d *decoder) mismatch(n *Node, name, want string) {
	switch {
	case n.Kind == Null:
		d.errorf(n.Span, "%s is null: give it a value or leave it out", named(name))
	case want == "a string" && (n.Kind == Bool || n.Kind == Int || n.Kind == Float):
		x := d.errorf(n.Span, "%s is the %s %s, want a string: write %q", named(name), n.Kind, n.Text, n.Text)
		if n.Span.End.IsValid() {
			x.Fix = &diag.Fix{Message: "quote the value", Edits: []source.Edit{{Span: n.Span, New: strconv.Quote(n.Text)}}}
		}
	case n.Kind == List || n.Kind == Map:
		d.errorf(n.Span, "%s is %s %s, want %s", named(name), article(n.Kind), n.Kind, want)
	default:
		d.errorf(n.Span, "%s is the %s %q, want %s", named(name), n.Kind, n.Text, want)
	}
}

func named(name string) string {
	if name == "" {
		return "the document"
	}
	return name
}

func article(k Kind) string {
	if k == Int || k == Map {
		return "an"
	}
	return "a"
}

var nodeType = reflect.TypeFor[*Node]()

// value decodes n into v. name is the field's key, for messages.
func (d *decoder) value(n *Node, v reflect.Value, name string) {
	t := v.Type()
	if t == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	switch how(t) {
	case byJSON:
		d.unmarshalJSON(n, v, name)
		return
	case byText:
		d.unmarshalText(n, v, name)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(n, v.Elem(), name)
	case reflect.Struct:
		d.structure(n, v, name)
	case reflect.Map:
		d.mapping(n, v, name)
	case reflect.Slice:
		d.slice(n, v, name)
	case reflect.Interface:
		if x := Value(n); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		d.scalar(n, v, name)
	}
}

func (d *decoder) scalar(n *Node, v reflect.Value, name string) {
	switch k := v.Kind(); {
	case k == reflect.String:
		if n.Kind != String {
			d.mismatch(n, name, "a string")
			return
		}
		v.SetString(n.Text)
	case k == reflect.Bool:
		if n.Kind != Bool {
			d.mismatch(n, name, "true or false")
			return
		}
		v.SetBool(n.Text == "true")
	case v.CanInt(), v.CanUint():
		d.integer(n, v, name)
	case v.CanFloat():
		if n.Kind != Int && n.Kind != Float {
			d.mismatch(n, name, "a number")
			return
		}
		f, err := strconv.ParseFloat(n.Text, v.Type().Bits())
		if err != nil {
			d.errorf(n.Span, "%s is %s, out of range", named(name), n.Text)
			return
		}
		v.SetFloat(f)
	default:
		panic("load.Decode: field " + name + " has type " + v.Type().String())
	}
}

func (d *decoder) integer(n *Node, v reflect.Value, name string) {
	if n.Kind != Int {
		d.mismatch(n, name, "an integer")
		return
	}
	bits := v.Type().Bits()
	if v.CanInt() {
		i, err := strconv.ParseInt(n.Text, 10, bits)
		if err != nil {
			d.errorf(n.Span, "%s is %s, out of range: want %d to %d", named(name), n.Text, math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits))
			return
		}
		v.SetInt(i)
		return
	}
	u, err := strconv.ParseUint(n.Text, 10, bits)
	if err != nil {
		d.errorf(n.Span, "%s is %s, out of range: want 0 to %d", named(name), n.Text, uint64(math.MaxUint64)>>(64-bits))
		return
	}
	v.SetUint(u)
}

func (d *decoder) slice(n *Node, v reflect.Value, name string) {
	if n.Kind != List {
		d.mismatch(n, name, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		d.value(item, out.Index(i), name)
	}
	v.Set(out)
}

func (d *decoder) mapping(n *Node, v reflect.Value, name string) {
	if n.Kind != Map {
		d.mismatch(n, name, "an object")
		return
	}
	t := v.Type()
	out := reflect.MakeMapWithSize(t, len(n.Fields))
	for i := range n.Fields {
		f := &n.Fields[i]
		elem := reflect.New(t.Elem()).Elem()
		d.value(f.Value, elem, f.Key)
		out.SetMapIndex(reflect.ValueOf(f.Key).Convert(t.Key()), elem)
	}
	v.Set(out)
}

func (d *decoder) structure(n *Node, v reflect.Value, name string) {
	if n.Kind != Map {
		d.mismatch(n, name, "an object")
		return
	}
	info := fieldsOf(v.Type())
	for i := range n.Fields {
		f := &n.Fields[i]
		index, ok := info.index[f.Key]
		if !ok {
			d.unknown(f, info, name)
			continue
		}
		d.value(f.Value, fieldByIndex(v, index), f.Key)
	}
}

func (d *decoder) unknown(f *Field, info *structInfo, parent string) {
	in := ""
	if parent != "" {
		in = " in " + parent
	}
	near := Nearest(f.Key, info.names)
	if near == "" {
		d.errorf(f.KeySpan, "unknown field %q%s", f.Key, in)
		return
	}
	x := d.errorf(f.KeySpan, "unknown field %q%s: did you mean %q?", f.Key, in, near)
	if f.KeySpan.End.IsValid() {
		x.Fix = &diag.Fix{Message: "write " + near, Edits: []source.Edit{{Span: f.KeySpan, New: near}}}
	}
}

func (d *decoder) unmarshalText(n *Node, v reflect.Value, name string) {
	if n.Kind != String {
		d.mismatch(n, name, "a string")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Text)); err != nil {
		d.errorf(n.Span, "%s: %v", named(name), err)
	}
}

func (d *decoder) unmarshalJSON(n *Node, v reflect.Value, name string) {
	text, err := json.Marshal(Value(n))
	if err == nil {
		err = v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text)
	}
	if err != nil {
		d.errorf(n.Span, "%s: %v", named(name), err)
	}
}

// Value is n as encoding/json would decode it, with numbers as json.Number.
func Value(n *Node) any {
	switch n.Kind {
	case Bool:
		return n.Text == "true"
	case Int, Float:
		return json.Number(n.Text)
	case String:
		return n.Text
	case List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = Value(item)
		}
		return out
	case Map:
		out := make(map[string]any, len(n.Fields))
		for i := range n.Fields {
			out[n.Fields[i].Key] = Value(n.Fields[i].Value)
		}
		return out
	}
	return nil
}
