package objects

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
)

// kept is the metadata that people write, what changes most often last.
var kept = []string{"name", "namespace", "labels", "annotations"}

// Render is an object as YAML without status, what the server adds, and annotations that
// no dialect reads, which are all that is free text in most facts. Each value has a line of
// its own and metadata comes last, so that an annotation, or another number, moves no other
// field: what is known of their places still holds.
func Render(u *unstructured.Unstructured) ([]byte, error) {
	object, metadata := maps.Clone(u.Object), map[string]any{}
	delete(object, "status")
	delete(object, "metadata")
	for _, key := range kept {
		if value, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "metadata", key); ok {
			metadata[key] = value
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		annotations = maps.Clone(annotations)
		maps.DeleteFunc(annotations, func(key string, _ any) bool { return !dialect.ReadsAnnotation(key) })
		if metadata["annotations"] = annotations; len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	w := &writer{}
	w.fields(object, sorted(object), 0, false)
	w.text = append(w.text, "metadata:\n"...)
	w.fields(metadata, slices.DeleteFunc(slices.Clone(kept), func(key string) bool { return metadata[key] == nil }), 2, false)
	if w.err != nil {
		return nil, fmt.Errorf("rendering %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), w.err)
	}
	return w.text, nil
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// writer writes block YAML, which a general encoder takes several times as long for.
type writer struct {
	text []byte
	err  error
}

func (w *writer) spaces(n int) {
	for range n {
		w.text = append(w.text, ' ')
	}
}

// fields writes a mapping, beside a dash or from the beginning of a line.
func (w *writer) fields(m map[string]any, keys []string, indent int, beside bool) {
	for i, key := range keys {
		if i > 0 || !beside {
			w.spaces(indent)
		}
		w.key(key, indent)
		w.value(m[key], indent)
	}
}

// longKey is what a key may have without a mark of its own; YAML allows 1024
// characters (1.2, 7.4.2), escapes among them.
const longKey = 128

func (w *writer) key(key string, indent int) {
	if len(key) > longKey {
		w.text = append(w.text, "? "...)
		w.string(key)
		w.text = append(w.text, '\n')
		w.spaces(indent)
	} else {
		w.string(key)
	}
	w.text = append(w.text, ':')
}

// deep is the indentation from which on values are written as JSON: each level of
// one that is nested without end would have longer lines.
const deep = 200

// value writes what stands after a key, or after a dash, to the end of the line.
func (w *writer) value(v any, indent int) {
	m, _ := v.(map[string]any)
	list, _ := v.([]any)
	switch {
	case indent >= deep || len(m)+len(list) == 0:
		w.text = append(w.text, ' ')
		w.scalar(v)
		w.text = append(w.text, '\n')
	case len(m) > 0:
		w.text = append(w.text, '\n')
		w.fields(m, sorted(m), indent+2, false)
	default:
		w.text = append(w.text, '\n')
		for _, item := range list {
			w.item(item, indent)
		}
	}
}

func (w *writer) item(v any, indent int) {
	w.spaces(indent)
	w.text = append(w.text, '-')
	if m, _ := v.(map[string]any); len(m) > 0 && indent < deep {
		w.text = append(w.text, ' ')
		w.fields(m, sorted(m), indent+2, true)
		return
	}
	w.value(v, indent+2)
}

// scalar writes a value on one line.
func (w *writer) scalar(v any) {
	switch v := v.(type) {
	case string:
		w.string(v)
	case int64:
		w.text = strconv.AppendInt(w.text, v, 10)
	case bool:
		w.text = strconv.AppendBool(w.text, v)
	default:
		text, err := json.Marshal(v)
		if err != nil && w.err == nil {
			w.err = err
		}
		w.text = append(w.text, text...)
	}
}

// string writes a string in quotes, unless it is a word that nobody takes for
// something else. What Go escapes, YAML does (1.2, 5.7), and characters that YAML
// does not have are not printable.
func (w *writer) string(s string) {
	if word(s) {
		w.text = append(w.text, s...)
		return
	}
	w.text = strconv.AppendQuote(w.text, s)
}

// reserved are words that mean something else to YAML 1.1 or 1.2.
var reserved = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

func word(s string) bool {
	for i := range len(s) {
		letter := 'a' <= s[i]|0x20 && s[i]|0x20 <= 'z'
		if !letter && (i == 0 || (s[i] < '0' || s[i] > '9') && s[i] != '-' && s[i] != '_' && s[i] != '.' && s[i] != '/') {
			return false
		}
	}
	return s != "" && (len(s) > len("false") || !slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, s) }))
}
