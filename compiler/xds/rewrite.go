package xds

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// pathChange is a change of the path: Envoy's prefix_rewrite or regex_rewrite.
type pathChange struct {
	prefix string
	regex  *matcherv3.RegexMatchAndSubstitute
}

func rewritePath(r *mesh.Rewrite, path *mesh.StringMatch) pathChange {
	switch {
	case r == nil:
		return pathChange{}
	case r.Prefix != nil:
		return rewritePrefix(*r.Prefix, path)
	case r.Path != nil:
		return substitute("^.*$", literalSubstitution(*r.Path))
	case r.Regex != "":
		return substitute(r.Regex, r.Substitute)
	}
	return pathChange{}
}

// rewritePrefix replaces what the route matched. Envoy's prefix_rewrite replaces
// characters: of "/foo" by "/" it makes "//bar" out of "/foo/bar", and of "/" by
// "/x" it makes "/xbar" out of "/bar". Where segments were matched, segments are
// replaced. A plain prefix keeps Envoy's way, which Istio documents.
func rewritePrefix(to string, path *mesh.StringMatch) pathChange {
	if path == nil || path.Kind != mesh.SegmentPrefix {
		return pathChange{prefix: to}
	}
	from := strings.TrimRight(path.Value, "/")
	slashTo := strings.HasSuffix(to, "/")
	switch {
	case from == "" && slashTo:
		return pathChange{prefix: to}
	case from == "":
		return substitute("^/", literalSubstitution(to+"/"))
	case slashTo:
		return substitute(caseFlag(path)+"^"+regexp.QuoteMeta(from)+"/?", literalSubstitution(to))
	}
	return pathChange{prefix: to}
}

func caseFlag(path *mesh.StringMatch) string {
	if path.IgnoreCase {
		return "(?i)"
	}
	return ""
}

func substitute(pattern, substitution string) pathChange {
	return pathChange{regex: &matcherv3.RegexMatchAndSubstitute{Pattern: envoymatch.Regex(pattern), Substitution: substitution}}
}

// literalSubstitution escapes RE2's references (\1).
func literalSubstitution(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

func (c pathChange) apply(a *routev3.RouteAction) {
	a.PrefixRewrite, a.RegexRewrite = c.prefix, c.regex
}

var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	301: routev3.RedirectAction_MOVED_PERMANENTLY,
	302: routev3.RedirectAction_FOUND,
	303: routev3.RedirectAction_SEE_OTHER,
	307: routev3.RedirectAction_TEMPORARY_REDIRECT,
	308: routev3.RedirectAction_PERMANENT_REDIRECT,
}

func (p *packer) redirect(r *mesh.Redirect, path *mesh.StringMatch) *routev3.Route_Redirect {
	code, ok := redirectCodes[r.Code]
	if !ok {
		p.fail(unknown("redirect code", r.Code))
	}
	out := &routev3.RedirectAction{
		HostRedirect: r.Host, PortRedirect: r.Port, StripQuery: r.StripQuery, ResponseCode: code,
	}
	if r.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	switch {
	case r.PrefixRewrite != nil:
		c := rewritePrefix(*r.PrefixRewrite, path)
		if c.regex != nil {
			out.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: c.regex}
			break
		}
		out.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: c.prefix}
	case r.Path != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: r.Path}
	}
	return &routev3.Route_Redirect{Redirect: out}
}
