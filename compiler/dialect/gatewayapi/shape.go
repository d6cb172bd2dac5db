package gatewayapi

import (
	"reflect"
	"regexp"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// shape judges a document by the Go type of its kind: names of fields, types,
// names that the API server refuses, and whether a field is read at all.
type shape struct{ translate.Report }

func (s *shape) document(spec reflect.Type) {
	for _, f := range s.Doc.Root.Fields {
		switch f.Key {
		case "apiVersion", "kind", "metadata", "status":
		case "spec":
			s.Diags = append(s.Diags, load.Decode(f.Value, reflect.New(spec).Interface(), s.Doc.Object())...)
			s.value(f.Value, spec, "spec")
		default:
			s.Errorf(load.CodeSchema, f.KeySpan, "unknown field %s: want one of metadata, spec", f.Key)
		}
	}
}

// member is a field of a Go type as documents have it.
type member struct {
	name     string
	of       reflect.Type
	required bool
}

// members lists the fields of a struct type, those of embedded types among them.
func members(t reflect.Type) []member {
	var out []member
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			out = append(out, members(f.Type)...)
			continue
		}
		out = append(out, member{name, f.Type, !strings.Contains(options, "omitempty")})
	}
	return out
}

// value judges what load.Decode does not know of a value. Where its kind is wrong,
// that is reported already.
func (s *shape) value(n *load.Node, t reflect.Type, name string) {
	switch t.Kind() {
	case reflect.Pointer:
		s.value(n, t.Elem(), name)
	case reflect.Slice:
		for _, item := range n.Items {
			s.value(item, t.Elem(), name)
		}
	case reflect.Struct:
		if n.Kind == load.Map {
			s.object(n, t, name)
		}
	case reflect.String:
		if n.Kind == load.String {
			s.format(n, t.Name(), name)
		}
	}
}

func (s *shape) object(n *load.Node, t reflect.Type, name string) {
	u := fields[t.Name()]
	for _, m := range members(t) {
		f := n.Field(m.name)
		switch {
		case f == nil && m.required:
			s.Errorf(load.CodeSchema, n.Span, "%s has no %s", name, m.name)
		case f == nil:
		case !treatments[t.Name()][m.name]:
			s.refuse(f, u.refuses[m.name])
		default:
			s.value(f.Value, m.of, m.name)
		}
	}
}

func (s *shape) refuse(f *load.Field, instead string) {
	d := s.Errorf(translate.CodeUnsupported, f.KeySpan, "field %s is not supported", f.Key)
	if instead == "" {
		instead = "remove it: it would have no effect"
	}
	d.Fix = &diag.Fix{Message: instead}
}

// format is what the API server demands of a string (the markers
// kubebuilder:validation of the type, with its MaxLength).
type format struct {
	pattern *regexp.Regexp
	longest int
	want    string
}

const (
	dnsLabel     = `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
	dnsSubdomain = dnsLabel + `(\.` + dnsLabel + `)*`
)

var formats = map[string]format{
	"Group":           {regexp.MustCompile(`^$|^` + dnsSubdomain + `$`), 253, "the name of an API group, or \"\" for Kubernetes' core"},
	"Kind":            {regexp.MustCompile(`^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$`), 63, "the name of a kind"},
	"ObjectName":      {regexp.MustCompile(`^` + dnsSubdomain + `$`), 253, "the name of an object"},
	"Namespace":       {regexp.MustCompile(`^` + dnsLabel + `$`), 63, "a namespace"},
	"SectionName":     {regexp.MustCompile(`^` + dnsSubdomain + `$`), 253, "lower-case letters, digits, - and ."},
	"Hostname":        {regexp.MustCompile(`^(\*\.)?` + dnsSubdomain + `$`), 253, "a DNS name in lower case, or *. and one, without port"},
	"PreciseHostname": {regexp.MustCompile(`^` + dnsSubdomain + `$`), 253, "a DNS name in lower case, without port"},
	"HTTPHeaderName":  {headerName, 256, "a token"},
	"GRPCHeaderName":  {headerName, 256, "a token"},
	"Duration":        {regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`), 64, "a duration such as 250ms, 2s or 1m30s"},
	"CORSOrigin": {
		regexp.MustCompile(`^\*$|^https?://((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?$`), 253,
		"*, or http:// or https:// with a host, which may be * or begin with *., and a port where it is not the scheme's",
	},
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+\\-.^_`|~]+$")

func (s *shape) format(n *load.Node, typeName, name string) {
	f, known := formats[typeName]
	if !known || translate.Placeholder(n.Text) || len(n.Text) <= f.longest && f.pattern.MatchString(n.Text) {
		return
	}
	s.Errorf(translate.CodeValue, n.Span, "%s %q: want %s", name, n.Text, f.want)
}
