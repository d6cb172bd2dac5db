package structural

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// APIVersion of the documents that Check judges.
const APIVersion = "mesh-compile.dev/v1alpha1"

// maxFindings bounds what one document can make the program say.
const maxFindings = 200

// Kinds lists the kinds that Check knows, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds())) }

// Known reports whether Check knows the document's apiVersion and kind.
func Known(doc *load.Document) bool {
	return doc.APIVersion == APIVersion && kinds()[doc.Kind] != nil
}

// Check judges one native document. A document that Known does not report is not
// judged. Where Check finds no error, load.Decode of the spec into the Go struct
// of the kind finds none either.
func Check(doc *load.Document) diag.List {
	r := kinds()[doc.Kind]
	if r == nil || doc.APIVersion != APIVersion {
		return nil
	}
	c := &checker{object: doc.Object()}
	for i := range doc.Root.Fields {
		f := &doc.Root.Fields[i]
		switch p := r.props[f.Key]; {
		case p == nil:
			c.unknown(f, r, place{key: doc.Kind})
		case f.Key == "metadata":
			c.metadata(f.Value, p, place{key: f.Key})
		default:
			c.value(f.Value, p, place{key: f.Key})
		}
	}
	if doc.Root.Field("spec") == nil {
		c.errorf(doc.Span, "this %s has no spec", doc.Kind)
	}
	return c.diags
}

type checker struct {
	object string
	diags  diag.List
}

func (c *checker) errorf(at source.Span, format string, args ...any) *diag.Diagnostic {
	switch {
	case len(c.diags) == maxFindings:
		format, args = "more than %d faults in this document; the rest is left out", []any{maxFindings}
	case len(c.diags) > maxFindings:
		return &diag.Diagnostic{} // said already
	}
	d := c.diags.Errorf(load.CodeSchema, at, format, args...)
	d.Object = c.object
	return d
}

// metadata: package load has judged name and namespace.
func (c *checker) metadata(n *load.Node, r *rule, name place) {
	if n.Kind != load.Map {
		c.mismatch(n, name, "an object")
		return
	}
	for i := range n.Fields {
		f := &n.Fields[i]
		p := r.props[f.Key]
		switch {
		case p == nil:
			c.unknown(f, r, name)
		case p.kind == "string" && f.Value.Kind == load.String:
		default:
			c.value(f.Value, p, place{key: f.Key})
		}
	}
}

// place names a value for messages: a field, or the item of a list.
type place struct {
	key  string
	item int // from 1; 0 for the field itself
}

func (p place) String() string {
	if p.item == 0 {
		return p.key
	}
	return fmt.Sprintf("%s[%d]", p.key, p.item-1)
}

// value judges n.
func (c *checker) value(n *load.Node, r *rule, name place) {
	switch r.kind {
	case "object":
		c.structure(n, r, name)
	case "array":
		c.list(n, r, name)
	case "string":
		c.text(n, r, name)
	case "integer", "number":
		c.number(n, r, name)
	case "boolean":
		if n.Kind != load.Bool {
			c.mismatch(n, name, "true or false")
		} else if r.true && n.Text != "true" {
			c.errorf(n.Span, "%s can only be true: leave it out instead", name)
		}
	}
}

func (c *checker) structure(n *load.Node, r *rule, name place) {
	if n.Kind != load.Map {
		c.mismatch(n, name, "an object")
		return
	}
	c.count(n, r.fields, len(n.Fields), name, "fields")
	for i := range n.Fields {
		f := &n.Fields[i]
		p := r.elem
		if r.props != nil {
			p = r.props[f.Key]
		}
		if p == nil {
			c.unknown(f, r, name)
			continue
		}
		c.value(f.Value, p, place{key: f.Key})
	}
	for _, key := range r.required {
		if n.Field(key) == nil {
			c.errorf(n.Span, "%s has no %s, which is required", name, key)
		}
	}
	for i := range r.unions {
		c.union(n, &r.unions[i], name)
	}
}

func (c *checker) union(n *load.Node, u *union, name place) {
	var has []*load.Field
	for _, key := range u.fields {
		if f := n.Field(key); f != nil {
			has = append(has, f)
		}
	}
	choice := strings.Join(u.fields, ", ")
	switch {
	case len(has) < u.low && misspelt(n, u.fields):
	case len(has) < u.low:
		c.errorf(n.Span, "%s has none of %s: write %s", name, choice, u.how)
	case len(has) > u.high:
		d := c.errorf(has[1].KeySpan, "%s has %s and %s: write %s of %s", name, has[0].Key, has[1].Key, u.how, choice)
		d.Related = []diag.Related{{Span: has[0].KeySpan, Message: "the other"}}
	}
}

// misspelt reports whether n has an unknown field that may be meant for one of
// names, which is reported by itself.
func misspelt(n *load.Node, names []string) bool {
	return slices.ContainsFunc(n.Fields, func(f load.Field) bool {
		return !slices.Contains(names, f.Key) && slices.Contains(names, load.Nearest(f.Key, names))
	})
}

func (c *checker) list(n *load.Node, r *rule, name place) {
	if n.Kind != load.List {
		c.mismatch(n, name, "a list")
		return
	}
	c.count(n, r.items, len(n.Items), name, "items")
	for i, item := range n.Items {
		c.value(item, r.elem, place{name.key, i + 1})
	}
	for _, key := range r.keys {
		c.unique(n, key, name)
	}
}

// unique judges lists that Kubernetes merges by a key.
func (c *checker) unique(n *load.Node, key string, name place) {
	seen := map[string]*load.Node{}
	for _, item := range n.Items {
		v := item.Get(key)
		if v == nil {
			continue
		}
		if first := seen[v.Text]; first != nil {
			d := c.errorf(v.Span, "%s has %s %s twice", name, key, v.Text)
			d.Related = []diag.Related{{Span: first.Span, Message: "first here"}}
			continue
		}
		seen[v.Text] = v
	}
}

func (c *checker) count(n *load.Node, s span, got int, name place, what string) {
	if outside(s, float64(got)) {
		c.errorf(n.Span, "%s has %d %s, want %s", name, got, what, s)
	}
}

func (c *checker) text(n *load.Node, r *rule, name place) {
	if n.Kind != load.String {
		c.noText(n, r, name)
		return
	}
	switch length := utf8.RuneCountInString(n.Text); {
	case len(r.words) > 0:
		c.word(n, r.words, name)
	case outside(r.length, float64(length)):
		c.errorf(n.Span, "%s has %d characters, want %s", name, length, r.length)
	case r.pattern != nil && !r.pattern.MatchString(n.Text):
		d := c.errorf(n.Span, "%s is %q, want %s", name, n.Text, r.want)
		for _, other := range []string{strings.ToUpper(n.Text), strings.ToLower(n.Text)} {
			if r.pattern.MatchString(other) && n.Span.End.IsValid() {
				d.Fix = &diag.Fix{Message: "write " + other, Edits: []source.Edit{{Span: n.Span, New: other}}}
				break
			}
		}
	}
}

// noText reports a value that is no string. Quotes mend it only where the text
// would be right: 3 is no length of time, and "3" is none either.
func (c *checker) noText(n *load.Node, r *rule, name place) {
	scalar := n.Kind == load.Bool || n.Kind == load.Int || n.Kind == load.Float
	switch {
	case scalar && len(r.words) > 0:
		c.errorf(n.Span, "%s is the %s %s, want %s", name, n.Kind, n.Text, oneOf(r.words))
	case scalar && r.pattern != nil && !r.pattern.MatchString(n.Text):
		c.errorf(n.Span, "%s is the %s %s, want %s", name, n.Kind, n.Text, r.want)
	default:
		c.mismatch(n, name, "a string")
	}
}

func (c *checker) word(n *load.Node, words []string, name place) {
	if slices.Contains(words, n.Text) {
		return
	}
	d := c.errorf(n.Span, "%s is %q, want %s", name, n.Text, oneOf(words))
	if near := load.Nearest(n.Text, words); near != "" && n.Span.End.IsValid() {
		d.Fix = &diag.Fix{Message: "write " + near, Edits: []source.Edit{{Span: n.Span, New: near}}}
	}
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

func (c *checker) number(n *load.Node, r *rule, name place) {
	if n.Kind != load.Int && (r.kind == "integer" || n.Kind != load.Float) {
		c.mismatch(n, name, map[string]string{"integer": "an integer", "number": "a number"}[r.kind])
		return
	}
	if len(r.integers) > 0 {
		if !slices.Contains(r.integers, n.Text) {
			c.errorf(n.Span, "%s is %s, want %s", name, n.Text, oneOf(r.integers))
		}
		return
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || outside(r.value, f) {
		c.errorf(n.Span, "%s is %s, want %s", name, n.Text, r.value)
	}
}

func outside(s span, v float64) bool {
	return s.low != nil && v < *s.low || s.high != nil && v > *s.high
}

func (s span) String() string {
	switch {
	case s.low == nil && s.high == nil:
		return "a finite number"
	case s.low == nil:
		return "at most " + plain(*s.high)
	case s.high == nil:
		return "at least " + plain(*s.low)
	}
	return fmt.Sprintf("%s to %s", plain(*s.low), plain(*s.high))
}

func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (c *checker) unknown(f *load.Field, r *rule, parent place) {
	near := load.Nearest(f.Key, r.names)
	if near == "" {
		c.errorf(f.KeySpan, "unknown field %q in %s", f.Key, parent)
		return
	}
	d := c.errorf(f.KeySpan, "unknown field %q in %s: did you mean %q?", f.Key, parent, near)
	if f.KeySpan.End.IsValid() {
		d.Fix = &diag.Fix{Message: "write " + near, Edits: []source.Edit{{Span: f.KeySpan, New: near}}}
	}
}

// mismatch reports a value of the wrong type.
func (c *checker) mismatch(n *load.Node, name place, want string) {
	switch n.Kind {
	case load.Null:
		c.errorf(n.Span, "%s is null: give it a value or leave it out", name)
	case load.List:
		c.errorf(n.Span, "%s is a list, want %s", name, want)
	case load.Map:
		d := c.errorf(n.Span, "%s is an object, want %s", name, want)
		if want == "a list" {
			d.Fix = &diag.Fix{Message: "make it the item of a list: begin it with \"- \", or put [ ] around { }"}
		}
	case load.String:
		d := c.errorf(n.Span, "%s is the string %q, want %s", name, n.Text, want)
		if _, err := strconv.ParseInt(n.Text, 10, 64); err == nil && want == "an integer" && n.Span.End.IsValid() {
			d.Fix = &diag.Fix{Message: "remove the quotes", Edits: []source.Edit{{Span: n.Span, New: n.Text}}}
		}
	default:
		d := c.errorf(n.Span, "%s is the %s %s, want %s", name, n.Kind, n.Text, want)
		if want == "a string" && n.Span.End.IsValid() {
			d.Fix = &diag.Fix{Message: "quote the value", Edits: []source.Edit{{Span: n.Span, New: strconv.Quote(n.Text)}}}
		}
	}
}
