package istio

import (
	"cmp"
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// answering are fields that mean nothing where the request is not sent on. Istio
// refuses rewrite and fault, and ignores the others in silence.
var answering = []string{"timeout", "retries", "mirror", "mirrors"}

// actions reads what a rule does: exactly one of route, redirect,
// directResponse and delegate.
func (t *translator) actions(n *load.Node, r *mesh.Rule) {
	var done *load.Field
	for _, key := range []string{"route", "redirect", "directResponse", "delegate"} {
		f := n.Field(key)
		if f == nil || f.Value.Kind == load.List && len(f.Value.Items) == 0 {
			continue
		}
		if done != nil {
			d := t.Wrong(f.KeySpan, "%s stands beside %s: a rule does one of them", key, done.Key)
			d.Related = []diag.Related{{Span: done.KeySpan, Message: done.Key}}
			continue
		}
		done = f
		t.action(n, r, f)
	}
	if done == nil {
		t.Wrong(n.Span, "the rule has no route, redirect or directResponse")
	}
}

func (t *translator) action(n *load.Node, r *mesh.Rule, f *load.Field) {
	switch f.Key {
	case "route":
		for _, item := range n.ItemsOf("route") {
			r.To = append(r.To, t.weighted(item))
		}
		t.someWeight(r, f.KeySpan)
		return
	case "redirect":
		r.Redirect = t.redirect(f.Value, n)
	case "directResponse":
		r.Respond = t.directResponse(f.Value)
	case "delegate": // beside it Istio takes what else a rule says, for the delegate's rules
		r.DelegateTo = t.delegate(f.Value)
		return
	}
	for _, key := range []string{"fault", "rewrite"} {
		t.Exclusive(n, f.Key, key, "the request is not sent on")
	}
	for _, key := range answering {
		if other := n.Field(key); other != nil {
			t.Warn(other.KeySpan, "%s has no effect beside %s: the request is not sent on", key, f.Key)
		}
	}
}

// delegate names the VirtualService whose rules stand here.
func (t *translator) delegate(n *load.Node) *mesh.Ref {
	ref := &mesh.Ref{Name: n.TextOf("name"), Namespace: cmp.Or(n.TextOf("namespace"), t.Namespace), Span: n.Span}
	if ref.Name == "" {
		t.Wrong(n.Span, "the delegate has no name")
	}
	return ref
}

// weighted reads one destination of a split.
func (t *translator) weighted(n *load.Node) mesh.Destination {
	d := t.destination(n.Get("destination"), n.Span)
	weight := t.count(n, "weight")
	d.Weight, d.HasWeight = zero(weight), weight != nil
	t.headers(n.Get("headers"), &d.RequestHeaders, &d.ResponseHeaders)
	return d
}

// someWeight refuses a split that goes nowhere; one destination alone takes all.
func (t *translator) someWeight(r *mesh.Rule, at source.Span) {
	written := slices.ContainsFunc(r.To, func(d mesh.Destination) bool { return d.Weight > 0 })
	if len(r.To) > 1 && !written {
		t.Wrong(at, "the weights of the %d destinations add up to 0", len(r.To))
	}
}

// destination reads a Destination.
func (t *translator) destination(n *load.Node, at source.Span) mesh.Destination {
	d := mesh.Destination{Span: at, Version: n.TextOf("subset"), VersionAt: t.At(n, "subset")}
	if n != nil {
		d.Span = n.Span
	}
	host := n.Get("host")
	switch {
	case host == nil || host.Kind == load.String && host.Text == "":
		t.Wrong(d.Span, "the destination has no host")
	case host.Kind == load.String && strings.HasPrefix(host.Text, "*"):
		t.Wrong(host.Span, "destination host %q: a wildcard names no single host", host.Text)
	case host.Kind == load.String && t.hostName(host):
		ref := t.ref(host)
		d.Service = &ref
	}
	if d.Version != "" && !translate.IsLabel(d.Version) {
		t.Wrong(d.VersionAt, "subset %q: want lower-case letters, digits and -", d.Version)
	}
	if port := n.Get("port"); port != nil {
		d.Port, d.PortAt = t.port(port, "number"), t.At(port, "number")
		if port.Get("number") == nil {
			t.Wrong(port.Span, "port has no number")
		}
	}
	return d
}

// redirectCodes are those of which Envoy makes a redirect
// (config.route.v3.RedirectAction.response_code). Istio accepts any 3xx, and the
// others leave the route without an action, so that Envoy refuses all routes.
var redirectCodes = []uint32{301, 302, 303, 307, 308}

func (t *translator) redirect(n, rule *load.Node) *mesh.Redirect {
	r := &mesh.Redirect{
		Scheme: n.TextOf("scheme"), Host: n.TextOf("authority"), Port: t.port(n, "port"),
		Path: n.TextOf("uri"), Code: 301, Span: n.Span,
	}
	t.Exclusive(n, "uri", "prefixRewrite", "the path is replaced once")
	if prefix := n.TextOf("prefixRewrite"); prefix != "" {
		r.PrefixRewrite = &prefix
		t.matchedByPrefix(rule, t.At(n, "prefixRewrite"))
	}
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
		t.Wrong(t.At(n, "scheme"), "scheme %q: want http or https", r.Scheme)
	}
	if code := t.count(n, "redirectCode"); code != nil && *code != 0 {
		r.Code = *code
		if !slices.Contains(redirectCodes, r.Code) {
			t.Wrong(t.At(n, "redirectCode"), "redirectCode %d: want 301, 302, 303, 307 or 308", r.Code)
			r.Code = 301
		}
	}
	if n.TextOf("derivePort") == "FROM_REQUEST_PORT" {
		d := t.Unsupported(t.At(n, "derivePort"), "derivePort FROM_REQUEST_PORT is not supported yet")
		d.SetFix("write port: with the number of the port")
	}
	t.printable(n, "uri")
	t.printable(n, "authority")
	if r.Path == "" && r.PrefixRewrite == nil && r.Host == "" && r.Scheme == "" && r.Port == 0 && n.Get("derivePort") == nil {
		t.Wrong(n.Span, "the redirect changes nothing: write uri, authority, scheme or port")
	}
	return r
}

// matchedByPrefix demands that every match of a rule is one of the path's prefix.
func (t *translator) matchedByPrefix(rule *load.Node, at source.Span) {
	list := rule.ItemsOf("match")
	byPrefix := func(m *load.Node) bool { return m.At("uri", "prefix") != nil }
	if len(list) == 0 || slices.ContainsFunc(list, func(m *load.Node) bool { return !byPrefix(m) }) {
		t.Wrong(at, "prefixRewrite replaces the matched prefix, but not every match of this rule matches uri by prefix")
	}
}

// printable refuses what would end a header early.
func (t *translator) printable(n *load.Node, key string) {
	if strings.ContainsFunc(n.TextOf(key), func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		t.Wrong(t.At(n, key), "%s %q has a space or a control character", key, n.TextOf(key))
	}
}

// maxBody is the largest body that Istio's webhook accepts.
const maxBody = 1 << 20

func (t *translator) directResponse(n *load.Node) *mesh.Respond {
	r := &mesh.Respond{Status: t.status(n, "status"), Span: n.Span}
	if n.Get("status") == nil {
		t.Wrong(n.Span, "directResponse has no status")
	}
	body := n.Get("body")
	r.Body = body.TextOf("string")
	if raw := body.TextOf("bytes"); raw != "" {
		decoded, _ := base64.StdEncoding.DecodeString(raw) // the shape has judged it
		r.Body = string(decoded)
	}
	switch {
	case len(r.Body) > maxBody:
		t.Wrong(body.Span, "the body has %d bytes, more than %d", len(r.Body), maxBody)
	case !utf8.ValidString(r.Body):
		t.Unsupported(t.At(body, "bytes"), "a body that is not UTF-8 text is not supported")
		r.Body = ""
	}
	return r
}

// rewrite of the path replaces what the match matched: the prefix, or all of the
// path where it was matched exactly or by a regex (Envoy's prefix_rewrite).
func (t *translator) rewrite(n *load.Node) *mesh.Rewrite {
	if n == nil {
		return nil
	}
	r := &mesh.Rewrite{Host: n.TextOf("authority"), Span: n.Span}
	t.Exclusive(n, "uri", "uriRegexRewrite", "the path is rewritten once")
	t.printable(n, "uri")
	t.printable(n, "authority")
	if uri := n.TextOf("uri"); uri != "" {
		r.Prefix = &uri
		if !strings.HasPrefix(uri, "/") {
			t.Warn(t.At(n, "uri"), "rewrite uri %q does not begin with /: the upstream may get a path without one", uri)
		}
	}
	if regex := n.Get("uriRegexRewrite"); regex != nil {
		r.Regex, r.Substitute = regex.TextOf("match"), regex.TextOf("rewrite")
		t.substitution(regex)
	}
	if r.Prefix == nil && r.Regex == "" && r.Host == "" {
		t.Wrong(n.Span, "the rewrite changes nothing: write uri, uriRegexRewrite or authority")
		return nil
	}
	return r
}

var groupReference = regexp.MustCompile(`\\([0-9]|.|$)`)

// substitution checks the references of a rewrite (RE2's \0 to \9) to the groups
// of its pattern, which package check judges itself.
func (t *translator) substitution(n *load.Node) {
	pattern, substitute := n.TextOf("match"), n.TextOf("rewrite")
	if pattern == "" || substitute == "" {
		t.Wrong(n.Span, "uriRegexRewrite needs both match and rewrite")
		return
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return
	}
	for _, m := range groupReference.FindAllStringSubmatch(substitute, -1) {
		group, err := strconv.Atoi(m[1])
		switch {
		case m[1] == `\`:
		case err != nil:
			t.Wrong(t.At(n, "rewrite"), `rewrite %q: write \1 to \9 for a group and \\ for a backslash`, substitute)
		case group > re.NumSubexp():
			t.Wrong(t.At(n, "rewrite"), `rewrite %q: there is no group \%d in %q, which has %d`, substitute, group, pattern, re.NumSubexp())
		}
	}
}
