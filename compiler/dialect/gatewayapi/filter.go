package gatewayapi

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// filter is one entry of filters: its type and the value of the field of that type.
type filter struct {
	kind  string
	value *load.Node
	at    source.Span
}

// filterFields are the types of filters and the field that describes each.
var filterFields = map[string]string{
	"RequestHeaderModifier":  "requestHeaderModifier",
	"ResponseHeaderModifier": "responseHeaderModifier",
	"RequestMirror":          "requestMirror",
	"RequestRedirect":        "requestRedirect",
	"URLRewrite":             "urlRewrite",
	"CORS":                   "cors",
	"ExternalAuth":           "externalAuth",
	"ExtensionRef":           "extensionRef",
}

// grpcFilters are those that a GRPCRoute may have.
var grpcFilters = []string{"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"}

// filterList reads the filters of a rule or a backend that are well-formed. Only
// mirrors may be repeated.
func (t *translator) filterList(n *load.Node) []filter {
	var out []filter
	seen := map[string]source.Span{}
	known := t.filterTypes()
	for _, item := range n.ItemsOf("filters") {
		kind, key := item.TextOf("type"), filterFields[item.TextOf("type")]
		value := item.Get(key)
		switch {
		case kind == "":
			continue // the shape has reported it
		case !slices.Contains(known, kind):
			t.unknownFilter(item, kind, known)
			continue
		case value == nil:
			t.Wrong(item.Span, "filter %s has no %s", kind, key)
			continue
		case kind != "RequestMirror" && !t.unique(seen, kind, t.At(item, "type"), "filter "+kind):
			continue
		}
		for _, other := range filterFields {
			if f := item.Field(other); f != nil && other != key {
				t.Wrong(f.KeySpan, "%s stands in a filter of type %s: want %s alone", other, kind, key)
			}
		}
		if value.Kind == load.Map {
			out = append(out, filter{kind, value, t.At(item, "type")})
		}
	}
	return out
}

// filterTypes are those of the document's kind.
func (t *translator) filterTypes() []string {
	switch {
	case t.linkerd():
		return linkerdFilters
	case t.Kind == "GRPCRoute":
		return grpcFilters
	}
	return slices.Sorted(maps.Keys(filterFields))
}

func (t *translator) unknownFilter(n *load.Node, kind string, known []string) {
	d := t.Wrong(t.At(n, "type"), "filter type %q: want one of %s", kind, strings.Join(known, ", "))
	if near := load.Nearest(kind, known); near != "" {
		d.SetFix("did you mean " + near + "?")
	}
}

// filters reads what a rule does to its requests. Envoy has an order of its own,
// in which these filters do not disturb each other.
func (t *translator) filters(n *load.Node, r *mesh.Rule) {
	at := map[string]source.Span{}
	for _, f := range t.filterList(n) {
		at[f.kind] = f.at
		switch f.kind {
		case "RequestHeaderModifier":
			r.RequestHeaders = t.headerOps(f.value)
		case "ResponseHeaderModifier":
			r.ResponseHeaders = t.headerOps(f.value)
		case "RequestMirror":
			r.Mirrors = append(r.Mirrors, t.mirror(f.value)...)
		case "RequestRedirect":
			r.Redirect = t.redirect(f.value, r)
		case "URLRewrite":
			r.Rewrite = t.rewrite(f.value, r)
		case "CORS":
			r.CORS = t.cors(f.value)
		}
	}
	redirect, found := at["RequestRedirect"]
	if !found {
		return
	}
	if other, both := at["URLRewrite"]; both {
		d := t.Wrong(other, "URLRewrite stands beside RequestRedirect: a request is answered or sent on")
		d.Related = []diag.Related{{Span: redirect, Message: "RequestRedirect"}}
	}
	if f := n.Field("backendRefs"); f != nil && len(n.ItemsOf("backendRefs")) > 0 {
		d := t.Wrong(f.KeySpan, "backendRefs stand beside RequestRedirect: a request is answered or sent on")
		d.Related = []diag.Related{{Span: redirect, Message: "RequestRedirect"}}
	}
	for _, kind := range []string{"RequestHeaderModifier", "RequestMirror"} {
		if other, both := at[kind]; both {
			t.Warn(other, "%s has no effect beside RequestRedirect: the request is not sent on", kind)
		}
	}
}

// headerOps reads changes of headers. Of two entries with one name the first
// counts (HTTPHeader.name).
func (t *translator) headerOps(n *load.Node) *mesh.HeaderOps {
	ops := &mesh.HeaderOps{Set: t.headerValues(n, "set"), Add: t.headerValues(n, "add")}
	for _, v := range n.TextsOf("remove") {
		if name := strings.ToLower(v.Text); t.changeable(name, v.Span) {
			ops.Remove = append(ops.Remove, name)
		}
	}
	return ops
}

func (t *translator) headerValues(n *load.Node, key string) []mesh.HeaderValue {
	var out []mesh.HeaderValue
	for _, h := range n.ItemsOf(key) {
		name, value := strings.ToLower(h.TextOf("name")), h.TextOf("value")
		switch {
		case name == "" || !t.changeable(name, t.At(h, "name")):
		case slices.ContainsFunc(out, func(v mesh.HeaderValue) bool { return v.Name == name }):
			t.Warn(t.At(h, "name"), "header %s is written twice under %s: only the first counts", name, key)
		case translate.ControlCharacter(value):
			t.Wrong(t.At(h, "value"), "header %s: the value %q has a control character, which could end the header", name, value)
		default:
			out = append(out, mesh.HeaderValue{Name: name, Value: value, Span: t.At(h, "value")})
		}
	}
	return out
}

// changeable checks the name, in lower case, of a header that is changed.
func (t *translator) changeable(name string, at source.Span) bool {
	switch {
	case name == "host":
		d := t.Unsupported(at, "header host cannot be changed as a header")
		d.SetFix("write a filter URLRewrite with hostname")
		return false
	case !translate.Token(name):
		t.Wrong(at, "header %q: a header's name is a token", name)
		return false
	case translate.Framing(name):
		d := t.Unsupported(at, "header %s belongs to the connection and is the proxy's own", name)
		d.SetFix("leave it to the proxy")
		return false
	}
	return true
}

// mirror reads one mirror, none where it is of 0 percent. Without a share everything
// is mirrored. Envoy counts in millionths.
func (t *translator) mirror(n *load.Node) []mesh.Mirror {
	d, ok := t.backend(n.Get("backendRef"))
	if !ok {
		return nil
	}
	m := mesh.Mirror{Destination: d, Percent: 100}
	if percent, ok := t.number(n, "percent", 0, 100); ok {
		m.Percent = float64(percent)
	}
	if f := n.Field("fraction"); f != nil {
		if n.Get("percent") != nil {
			t.Wrong(f.KeySpan, "fraction stands beside percent: write one of them")
		}
		m.Percent = t.fraction(f.Value)
	}
	if m.Percent == 0 {
		return nil
	}
	return []mesh.Mirror{m}
}

const most = 1<<31 - 1

func (t *translator) fraction(n *load.Node) float64 {
	numerator, _ := t.number(n, "numerator", 0, most)
	denominator := uint32(100)
	if n.Get("denominator") != nil {
		var ok bool
		if denominator, ok = t.number(n, "denominator", 1, most); !ok {
			return 0
		}
	}
	share := float64(numerator) / float64(denominator)
	switch {
	case numerator > denominator:
		t.Wrong(n.Span, "the fraction %d/%d is more than 1", numerator, denominator)
	case numerator > 0 && share < 1e-6:
		t.Wrong(n.Span, "the fraction %d/%d is less than a millionth, which is the least that Envoy counts", numerator, denominator)
	}
	return 100 * share
}

// wellKnown are the ports that a scheme means.
var wellKnown = map[string]uint32{"http": 80, "https": 443}

// redirect reads RequestRedirect. Without a port, that of the scheme is meant, or
// without a scheme that of the request (HTTPRequestRedirectFilter.port). A hostname
// needs no port where it is the scheme's.
func (t *translator) redirect(n *load.Node, rule *mesh.Rule) *mesh.Redirect {
	r := &mesh.Redirect{Host: n.TextOf("hostname"), Port: t.port(n, "port"), Code: 302, Span: n.Span}
	if n.Get("scheme") != nil {
		r.Scheme = t.choice(n, "scheme", "http", "https")
	}
	switch {
	case r.Port != 0:
	case r.Scheme == "" && r.Host != "":
		r.RequestPort = true
	case r.Host == "":
		r.Port = wellKnown[r.Scheme]
	}
	if r.Host != "" && r.Port != 0 && r.Port == wellKnown[r.Scheme] {
		r.Port = 0
	}
	if code, ok := t.number(n, "statusCode", 0, 999); ok {
		if r.Code = code; !slices.Contains([]uint32{301, 302, 303, 307, 308}, code) {
			t.Wrong(t.At(n, "statusCode"), "statusCode %d: want 301, 302, 303, 307 or 308", code)
			r.Code = 302
		}
	}
	full, prefix := t.pathModifier(n.Get("path"), rule)
	r.PrefixRewrite = prefix
	if full != nil {
		r.Path = *full
	}
	if len(n.Fields) == 0 || len(n.Fields) == 1 && n.Get("statusCode") != nil {
		t.Warn(n.Span, "the redirect changes nothing, and leads to itself: write scheme, hostname, path or port")
	}
	return r
}

func (t *translator) rewrite(n *load.Node, rule *mesh.Rule) *mesh.Rewrite {
	r := &mesh.Rewrite{Host: n.TextOf("hostname"), Span: n.Span}
	r.Path, r.Prefix = t.pathModifier(n.Get("path"), rule)
	if r.Host == "" && r.Path == nil && r.Prefix == nil {
		t.Warn(n.Span, "the rewrite changes nothing: write hostname or path")
		return nil
	}
	return r
}

// pathModifier reads a change of the path: all of it, or the prefix that matched,
// for which the rule has exactly one match, of a prefix.
func (t *translator) pathModifier(n *load.Node, rule *mesh.Rule) (full, prefix *string) {
	if n == nil || n.Kind != load.Map {
		return nil, nil
	}
	kind := n.TextOf("type")
	key := map[string]string{"ReplaceFullPath": "replaceFullPath", "ReplacePrefixMatch": "replacePrefixMatch"}[kind]
	if kind != "" && key == "" {
		t.Wrong(t.At(n, "type"), "type %q: want ReplaceFullPath or ReplacePrefixMatch", kind)
	}
	for _, other := range []string{"replaceFullPath", "replacePrefixMatch"} {
		if f := n.Field(other); f != nil && key != "" && other != key {
			t.Wrong(f.KeySpan, "%s stands beside type %s: want %s alone", other, kind, key)
		}
	}
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		if key != "" {
			t.Wrong(n.Span, "type %s needs %s", kind, key)
		}
		return nil, nil
	}
	value := v.Text
	if value == "" {
		value = "/"
	}
	t.literalTarget(v)
	if key == "replaceFullPath" {
		return &value, nil
	}
	if len(rule.Matches) != 1 || rule.Matches[0].Path != nil && rule.Matches[0].Path.Kind != mesh.SegmentPrefix {
		t.Wrong(v.Span, "replacePrefixMatch replaces the prefix that matched: want exactly one match, and that one of type PathPrefix")
	} else if rule.Matches[0].Path == nil { // segments are replaced, so the prefix is said
		rule.Matches[0].Path = &mesh.StringMatch{Kind: mesh.SegmentPrefix, Value: "/", Span: rule.Matches[0].Span}
	}
	return nil, &value
}

// literalTarget refuses a path to which no request can be sent.
func (t *translator) literalTarget(v *load.Node) {
	why := ""
	switch {
	case v.Text == "" || translate.Placeholder(v.Text):
	case !strings.HasPrefix(v.Text, "/"):
		why = "a path begins with /"
	case strings.ContainsAny(v.Text, "?#"):
		why = "the query is kept as it is, and a fragment is never sent"
	case strings.ContainsFunc(v.Text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		why = "write spaces and characters beyond ASCII percent-encoded"
	case len(v.Text) > 1024:
		why = "want at most 1024 characters"
	}
	if why != "" {
		t.Wrong(v.Span, "path %q: %s", v.Text, why)
	}
}

// cors reads CORS. What a * means where credentials are allowed, the proxy would
// have to read out of each request (HTTPCORSFilter.allowMethods), which Envoy does
// not.
func (t *translator) cors(n *load.Node) *mesh.CORS {
	c := &mesh.CORS{
		AllowCredentials: n.IsTrue("allowCredentials"),
		MaxAge:           5 * time.Second,
		Span:             n.Span,
	}
	c.AllowMethods = t.names(n, "allowMethods", c.AllowCredentials)
	c.AllowHeaders = t.names(n, "allowHeaders", c.AllowCredentials)
	c.ExposeHeaders = t.names(n, "exposeHeaders", c.AllowCredentials)
	if age, ok := t.number(n, "maxAge", 1, most); ok {
		c.MaxAge = time.Duration(age) * time.Second
	}
	for _, v := range n.TextsOf("allowOrigins") {
		if v.Text == "*" && len(n.ItemsOf("allowOrigins")) > 1 {
			t.Wrong(v.Span, "* is every origin: remove it or the others")
		}
		if c.AllowCredentials && strings.HasSuffix(strings.TrimSuffix(v.Text, "/"), "*") {
			t.Wrong(v.Span, "origin %q matches every site, and allowCredentials lets each of them read answers with the user's cookies: list the origins", v.Text)
		}
		c.AllowOrigins = append(c.AllowOrigins, origin(v))
	}
	return c
}

// origin reads an origin. Its * is any text on the left of a host's name.
func origin(v *load.Node) mesh.StringMatch {
	if v.Text == "*" {
		return mesh.StringMatch{Kind: mesh.Regex, Value: ".*", Span: v.Span}
	}
	scheme, host, _ := strings.Cut(v.Text, "://")
	name, port, _ := strings.Cut(host, ":")
	if number, err := strconv.Atoi(port); err == nil && wellKnown[scheme] == uint32(number) { //nolint:gosec // five digits
		port = "" // browsers leave it out
	}
	if port != "" {
		port = ":" + port
	}
	rest, wild := strings.CutPrefix(strings.ToLower(name), "*")
	if !wild {
		return mesh.StringMatch{Value: scheme + "://" + rest + port, Span: v.Span}
	}
	return mesh.StringMatch{Kind: mesh.Regex, Value: scheme + `://[^/:]+` + regexp.QuoteMeta(rest+port), Span: v.Span}
}

// names reads a list of methods or headers, or a *.
func (t *translator) names(n *load.Node, key string, credentials bool) []string {
	var out []string
	for _, v := range n.TextsOf(key) {
		switch {
		case !translate.Token(v.Text):
			t.Wrong(v.Span, "%s %q: want a name", key, v.Text)
			continue
		case v.Text == "*" && len(n.ItemsOf(key)) > 1 && key != "exposeHeaders":
			t.Wrong(v.Span, "%s: * is all of them: remove it or the others", key)
		case v.Text == "*" && credentials:
			d := t.Unsupported(v.Span, "%s * with allowCredentials is not supported: browsers read it as the name * then", key)
			d.SetFix("list the names")
		}
		out = append(out, v.Text)
	}
	return out
}
