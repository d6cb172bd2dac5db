package mutate_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// silent are values of which a change changes nothing, by "Kind key value", with why.
var silent = map[string]string{
	"ServiceProfile ttl 5s":         "an info says that a budget of Envoy has none",
	"ServiceProfile min 500":        "a warning says that responseClasses are not read",
	"ServiceProfile max 599":        "a warning says that responseClasses are not read",
	"ServiceProfile isFailure true": "a warning says that responseClasses are not read",
	"GatewayClass description ours": "it is for people",
	"Gateway type IPAddress":        "a warning says that addresses have no effect",
	"Gateway value 192.0.2.1":       "a warning says that addresses have no effect",
	"Gateway a b":                   "a warning says that infrastructure has no effect",
	"Gateway c d":                   "a warning says that infrastructure has no effect",
	"Gateway name http":             "the name of a port is for people",
	"Gateway name http-redirect":    "the name of a port is for people",
	"Gateway name https":            "the name of a port is for people",
	"Gateway name https-two":        "the name of a port is for people",
	"Gateway name tls":              "the name of a port is for people",
	"Gateway name tcp":              "the name of a port is for people",
	"Gateway protocol HTTP":         "HTTP2 and GRPC are the same, and others are refused beside the rest of the server",
	"Gateway protocol TLS":          "HTTPS that passes is the same, and others are refused beside the rest of the server",
	"Gateway hosts *":               "a connection of TCP has no host",
	"VirtualService hosts *":        "a connection of TCP has no host",
	"VirtualService weight 100":     "weights are relative, and this destination is alone",
	"DestinationRule exportTo *":    "all other values are refused",
	"Assumption name edge":          "a gateway's name allows a reference to it, and routes of gateways are not in the mesh",
}

// unsupported are fields that testdata/every cannot have, because they are refused
// or are parts of what is.
var unsupported = words(`
	audiences cacheDuration claims claimsToHeaders inline issuer issuers jwks jwt uri
	authorizers custom data package rateLimits rego
	action delegate delegateTo delegatedBy mirrors parent route routes via
	clientCertificate`)

// certificates are texts that no change leaves valid.
var certificates = words("caCertificates trustBundle")

func words(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

// meaning is what a repository says: the checked mesh, and what is judged beside it.
type meaning struct {
	dump       string
	tests      []*mesh.Test
	invariants []*mesh.Invariant
	waivers    []*mesh.Waiver
	found      []string
}

var asOf = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// meaningOf returns the first error's code where the repository is refused.
func meaningOf(t *testing.T, r *repository) (m *meaning, refused diag.Code) {
	t.Helper()
	result, diags := compiler.Compile(r.render(t), compiler.Options{LintOnly: true, AsOf: asOf})
	for _, d := range diags {
		if d.Severity >= diag.Error {
			return nil, d.Code
		}
	}
	dump, err := result.Mesh.Dump()
	if err != nil {
		t.Fatal(err)
	}
	m = &meaning{string(dump), result.Mesh.Tests(), result.Mesh.Invariants(), result.Mesh.Waivers(), nil}
	for _, d := range diags {
		m.found = append(m.found, string(d.Code)+" "+d.Message)
	}
	return m, ""
}

func (m *meaning) equal(o *meaning) bool {
	return m.dump == o.dump && cmp.Equal([]any{m.tests, m.invariants, m.waivers, m.found},
		[]any{o.tests, o.invariants, o.waivers, o.found}, cmpopts.IgnoreTypes(source.Span{}), cmp.AllowUnexported(mesh.Test{}))
}

// TestNothingIsDropped changes each value of every supported field of every dialect
// to others that it takes. One of them must change what the repository says, or be
// refused: a value that never matters was dropped in silence.
func TestNothingIsDropped(t *testing.T) {
	for _, dir := range []string{"every", "istio", "gatewayapi", "linkerd"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			nothingIsDropped(t, filepath.Join("testdata", dir))
		})
	}
}

func nothingIsDropped(t *testing.T, dir string) {
	r := parse(t, "every", os.DirFS(dir))
	base, refused := meaningOf(t, r)
	if refused != "" {
		_, diags := compiler.Compile(r.render(t), compiler.Options{})
		t.Fatalf("%s does not compile: %s", dir, first(diags))
	}
	for _, file := range slices.Sorted(maps.Keys(r.files)) {
		for _, doc := range r.files[file] {
			for _, s := range spots(doc) {
				if s.value().Kind != yaml.ScalarNode || inEnvelope(doc, s) {
					continue
				}
				name := kindOf(doc) + " " + s.key + " " + s.value().Value
				if silent[name] == "" && dropped(t, r, s, base) {
					t.Errorf("%s: %s: other values change nothing", file, name)
				}
			}
		}
	}
}

func first(diags diag.List) string {
	for _, d := range diags {
		if d.Severity >= diag.Error {
			return fmt.Sprintf("%s: %s", d.Span, d.Message)
		}
	}
	return ""
}

// inEnvelope are apiVersion, kind and metadata, which every kind has.
func inEnvelope(doc *yaml.Node, s spot) bool {
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if doc.Content[i].Value == "spec" {
			return !within(doc.Content[i+1], s.parent)
		}
	}
	return true
}

func within(n, what *yaml.Node) bool {
	return n == what || slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return within(c, what) })
}

// ofTheFieldAlone are findings that say nothing of what a value is for.
var ofTheFieldAlone = []diag.Code{load.CodeSchema, translate.CodeValue, translate.CodeUnsupported}

// dropped reports a value that can be changed without a word and without a
// difference, and never with one.
func dropped(t *testing.T, r *repository, s spot, base *meaning) (silent bool) {
	original := s.value()
	defer func() { s.parent.Content[s.index] = original }()
	for _, value := range others(original) {
		s.parent.Content[s.index] = value
		switch m, refused := meaningOf(t, r); {
		case slices.Contains(ofTheFieldAlone, refused):
		case refused != "" || !m.equal(base):
			return false
		default:
			silent = true
		}
	}
	return silent
}

// others are values that a field of this value's type and look may take.
func others(n *yaml.Node) []*yaml.Node {
	v := n.Value
	var out []*yaml.Node
	add := func(values ...string) {
		for _, s := range values {
			if s != v {
				c := *n
				c.Value = s
				out = append(out, &c)
			}
		}
	}
	if i, err := strconv.Atoi(v); err == nil && n.Tag != "!!str" {
		add(strconv.Itoa(i+1), strconv.Itoa(i-1), "80", "7", "13", "504", "307")
		return out
	}
	switch {
	case n.Tag == "!!bool":
		add(strconv.FormatBool(v != "true"))
	case n.Tag == "!!float":
		add("0.25", "33.5")
	case strings.HasPrefix(v, "2040-"):
		add("2041-01-01T00:00:00Z", "2001-01-01T00:00:00Z")
	default:
		if _, err := time.ParseDuration(v); err == nil {
			add("9s", "300ms", "2h")
			break
		}
		add(v+"x", "/z"+v, "z"+v, "fallback-other")
		add(vocabulary...)
	}
	return out
}

// vocabulary is of the language; each field takes few of its words.
var vocabulary = []string{
	"native", "istio", "strict", "permissive", "disable", "simple", "mesh", "allow", "deny", "registry-only", "allow-any",
	"redirect", "none", "http", "http2", "grpc", "tcp", "rbac", "opa", "service", "not-found", "GET", "POST", "round-robin",
	"least-request", "random", "overflow", "no-healthy-endpoint", "connect-failure", "reset", "5xx", "static", "dns",
	"10.9.0.0/16", "10.9.0.1", "v1", "v2", "catalog", "inventory", "old", "web", "shop", "lab", "a.test", "https://c.test", "https", "spiffe://third/y",
	"1.2", "1.3", "mutual", "optional-mutual", "terminate", "front", "pass", "tls",
	"HTTP", "HTTPS", "TCP", "TLS", "*", "ECDHE-RSA-AES128-GCM-SHA256", "fedcba9876543210", "weights", "eu", "us", "SameSite", "catalog-v1", "bank", "ledger",
}

// TestEveryFieldIsThere holds testdata/every to the types.
func TestEveryFieldIsThere(t *testing.T) {
	d := newDonor([]*repository{parse(t, "every", os.DirFS("testdata/every"))})
	have := map[string]bool{}
	for _, fields := range d.fields {
		for name := range fields {
			have[name] = true
		}
	}
	for _, kind := range v1alpha1.Kinds() {
		if kind.Kind == "PolicySync" {
			continue // the controller's: it changes no release
		}
		spec, _ := reflect.TypeOf(kind.New()).Elem().FieldByName("Spec")
		for _, name := range slices.Sorted(maps.Keys(fieldNames(spec.Type, map[reflect.Type]bool{}))) {
			if !have[name] && !unsupported[name] && !certificates[name] {
				t.Errorf("%s: testdata/every has no field %s", kind.Kind, name)
			}
		}
	}
}

func fieldNames(t reflect.Type, seen map[reflect.Type]bool) map[string]bool {
	names := map[string]bool{}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return names
	}
	seen[t] = true
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names[name] = true
		}
		maps.Copy(names, fieldNames(t.Field(i).Type, seen))
	}
	return names
}
