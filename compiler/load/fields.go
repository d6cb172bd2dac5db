package load

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// structInfo is what Decode needs to know of a struct type.
type structInfo struct {
	index map[string][]int // json name to field, embedded structs flattened
	names []string         // sorted
}

var structs sync.Map // reflect.Type to *structInfo

func fieldsOf(t reflect.Type) *structInfo {
	if info, ok := structs.Load(t); ok {
		return info.(*structInfo)
	}
	info := &structInfo{index: map[string][]int{}}
	info.add(t, nil)
	for name := range info.index {
		info.names = append(info.names, name)
	}
	slices.Sort(info.names)
	structs.Store(t, info)
	return info
}

func (s *structInfo) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(prefix), i)
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		switch {
		case name == "-" && options == "" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "" && embedded.Kind() == reflect.Struct:
			s.add(embedded, index)
		case !f.IsExported():
		default:
			if name == "" {
				name = f.Name
			}
			// As in encoding/json the shallower field wins.
			if old, ok := s.index[name]; !ok || len(index) < len(old) {
				s.index[name] = index
			}
		}
	}
}

// fieldByIndex is reflect's, allocating embedded pointers on the way.
func fieldByIndex(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

type decoding uint8

const (
	byKind decoding = iota
	byJSON
	byText
)

var (
	decodings sync.Map // reflect.Type to decoding
	jsonType  = reflect.TypeFor[json.Unmarshaler]()
	textType  = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// how says whether a type decodes itself.
func how(t reflect.Type) decoding {
	if t.PkgPath() == "" { // predeclared, pointer, slice and map types
		return byKind
	}
	if h, ok := decodings.Load(t); ok {
		return h.(decoding)
	}
	h := byKind
	switch pointer := reflect.PointerTo(t); {
	case pointer.Implements(jsonType):
		h = byJSON
	case pointer.Implements(textType):
		h = byText
	}
	decodings.Store(t, h)
	return h
}

// Nearest returns the name most like a misspelt one, "" where none is near: the
// same but for case, or at most a third of its letters away.
func Nearest(name string, names []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, candidate := range names {
		if strings.EqualFold(candidate, name) {
			return candidate
		}
		if d := distance(name, candidate, least); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is Levenshtein's, or limit where it is not below that.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 || max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	var row [65]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diagonal+cost, row[j]+1, row[j+1]+1)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return min(row[len(b)], limit)
}
