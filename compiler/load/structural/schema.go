package structural

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/mesh-compile/mesh-compile/schemas"
)

// words are those of JSON Schema that the generator writes. Another word is an
// error in parse: it would be a rule that nobody follows.
type words struct {
	Schema      string            `json:"$schema"`
	Comment     string            `json:"$comment"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Ref         string            `json:"$ref"`
	Type        string            `json:"type"`
	Const       string            `json:"const"`
	Enum        []any             `json:"enum"`
	Format      string            `json:"format"`
	Pattern     string            `json:"pattern"`
	MinLength   *int              `json:"minLength"`
	MaxLength   *int              `json:"maxLength"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	MinItems    *int              `json:"minItems"`
	MaxItems    *int              `json:"maxItems"`
	Items       *words            `json:"items"`
	ListMapKeys []string          `json:"x-kubernetes-list-map-keys"`
	MinProps    *int              `json:"minProperties"`
	MaxProps    *int              `json:"maxProperties"`
	Properties  map[string]*words `json:"properties"`
	Required    []string          `json:"required"`
	Additional  json.RawMessage   `json:"additionalProperties"`
	AllOf       []*words          `json:"allOf"`
	AnyOf       []*words          `json:"anyOf"`
	OneOf       []*words          `json:"oneOf"`
	Not         *words            `json:"not"`
	If          *words            `json:"if"`
	Then        *words            `json:"then"`
	Defs        map[string]*words `json:"$defs"`
}

// rule is what one value must be, with references followed and patterns
// compiled.
type rule struct {
	kind     string // JSON Schema's type; "" is anything
	want     string // what a string should be, in words
	words    []string
	true     bool // only true
	pattern  *regexp.Regexp
	length   span
	value    span
	items    span
	fields   span
	elem     *rule // of lists and maps
	keys     []string
	props    map[string]*rule
	names    []string // of props, sorted
	required []string
	unions   []union
	integers []string // an integer enum, as text
}

// span is inclusive; a nil end is open.
type span struct{ low, high *float64 }

// union says how many of some fields an object has.
type union struct {
	how       string
	low, high int
	fields    []string
}

// kinds compiles the schema at first use; it is part of the program, so a fault
// in it is a bug, which a test finds.
var kinds = sync.OnceValue(func() map[string]*rule {
	text, err := schemas.JSONSchema("")
	if err != nil {
		panic(err)
	}
	rules, err := parse(text)
	if err != nil {
		panic(err)
	}
	return rules
})

// parse returns the rules of the kinds by their names.
func parse(text []byte) (map[string]*rule, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var root words
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("schema of the native kinds: %w", err)
	}
	c := &compiler{defs: root.Defs, done: map[string]*rule{}, patterns: map[string]*regexp.Regexp{}}
	rules := map[string]*rule{}
	for _, k := range root.Properties["kind"].Enum {
		kind, _ := k.(string)
		r, err := c.named(kind)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", kind, err)
		}
		rules[kind] = r
	}
	return rules, nil
}

type compiler struct {
	defs     map[string]*words
	done     map[string]*rule
	patterns map[string]*regexp.Regexp
}

func (c *compiler) named(name string) (*rule, error) {
	if r := c.done[name]; r != nil {
		return r, nil
	}
	w := c.defs[name]
	if w == nil {
		return nil, fmt.Errorf("no definition %q", name)
	}
	r := &rule{}
	c.done[name] = r // before its parts: types may be recursive
	if err := c.fill(r, w); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if w.Pattern != "" {
		r.want = firstSentence(name, w.Description)
	}
	return r, nil
}

// firstSentence is "a length of time with its unit" of "Duration is a length of
// time with its unit. Units are ns ...".
func firstSentence(name, doc string) string {
	s, _, _ := strings.Cut(doc, ". ")
	s = strings.TrimSuffix(s, ".")
	if rest, ok := strings.CutPrefix(s, name+" is "); ok {
		return rest
	}
	if rest, ok := strings.CutPrefix(s, name+" names "); ok {
		return "the name of " + rest
	}
	return s
}

func (c *compiler) rule(w *words) (*rule, error) {
	if name, ok := strings.CutPrefix(w.Ref, "#/$defs/"); ok {
		return c.named(name)
	}
	r := &rule{}
	return r, c.fill(r, w)
}

func (c *compiler) fill(r *rule, w *words) (err error) {
	r.kind = w.Type
	r.length = ints(w.MinLength, w.MaxLength)
	r.value = span{w.Minimum, w.Maximum}
	r.items = ints(w.MinItems, w.MaxItems)
	r.fields = ints(w.MinProps, w.MaxProps)
	r.keys, r.required = w.ListMapKeys, w.Required
	c.enum(r, w)
	if w.Pattern != "" {
		r.want = patternInWords(w.Pattern)
		if r.pattern, err = c.compile(w.Pattern); err != nil {
			return err
		}
	}
	if w.Items != nil {
		if r.elem, err = c.rule(w.Items); err != nil {
			return err
		}
	}
	if err := c.additional(r, w.Additional); err != nil {
		return err
	}
	return c.object(r, w)
}

// additional is false, absent, or the schema of a map's values.
func (c *compiler) additional(r *rule, text json.RawMessage) error {
	if len(text) == 0 || string(text) == "false" {
		return nil
	}
	var w words
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	elem, err := c.rule(&w)
	r.elem = elem
	return err
}

func (c *compiler) object(r *rule, w *words) error {
	if w.Properties != nil {
		r.props = map[string]*rule{}
	}
	for name, p := range w.Properties {
		prop, err := c.rule(p)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.props[name] = prop
		r.names = append(r.names, name)
	}
	slices.Sort(r.names)
	for _, part := range w.AllOf {
		u, err := unionOf(part)
		if err != nil {
			return err
		}
		r.unions = append(r.unions, u)
	}
	return nil
}

func (c *compiler) enum(r *rule, w *words) {
	if w.Const != "" {
		r.kind, r.words = "string", []string{w.Const}
	}
	for _, e := range w.Enum {
		switch e := e.(type) {
		case string:
			r.words = append(r.words, e)
		case bool:
			r.true = e
		case float64:
			r.integers = append(r.integers, fmt.Sprintf("%.0f", e))
		}
	}
}

func (c *compiler) compile(pattern string) (*regexp.Regexp, error) {
	if p := c.patterns[pattern]; p != nil {
		return p, nil
	}
	p, err := regexp.Compile(pattern)
	c.patterns[pattern] = p
	return p, err
}

// unionOf reads the three forms that the generator writes.
func unionOf(w *words) (union, error) {
	u := union{how: "exactly one", low: 1, high: 1}
	list := w.OneOf
	if w.AnyOf != nil {
		list, u = w.AnyOf, union{how: "at least one", low: 1, high: len(w.AnyOf)}
	}
	for _, branch := range list {
		switch {
		case branch.Not != nil:
			u.how, u.low = "at most one", 0
		case len(branch.Required) == 1:
			u.fields = append(u.fields, branch.Required[0])
		default:
			return u, fmt.Errorf("allOf holds what is no union")
		}
	}
	if len(u.fields) < 2 {
		return u, fmt.Errorf("allOf holds what is no union")
	}
	return u, nil
}

func ints(low, high *int) span {
	var s span
	if low != nil {
		f := float64(*low)
		s.low = &f
	}
	if high != nil {
		f := float64(*high)
		s.high = &f
	}
	return s
}

// patternInWords says what a pattern without a named type asks for.
func patternInWords(pattern string) string {
	prefix, ok := strings.CutPrefix(pattern, "^")
	if ok && regexp.QuoteMeta(prefix) == prefix {
		return fmt.Sprintf("a value that begins with %q", prefix)
	}
	return "a match of " + pattern
}
