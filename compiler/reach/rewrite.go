package reach

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// rewrite changes path and authority as the caller's proxy does. The query stays.
func (e *Evaluator) rewrite(r *mesh.Rewrite, match *mesh.Match, m *message) {
	if r == nil {
		return
	}
	switch {
	case r.Path != nil:
		m.path = *r.Path
	case r.Prefix != nil:
		m.path = replacePrefix(match.Path, m.path, *r.Prefix)
	case r.Regex != "":
		m.path = replaceRegex(m.path, r.Regex, r.Substitute)
	}
	if r.Host != "" {
		m.authority = r.Host
	}
}

// replacePrefix is Envoy's prefix_rewrite: what the path matcher matched is
// replaced, which is the whole path for an exact path or an expression. A
// segment prefix keeps exactly one slash between the new prefix and the rest.
func replacePrefix(match *mesh.StringMatch, path, prefix string) string {
	if match == nil {
		return prefix + strings.TrimPrefix(path, "/")
	}
	switch match.Kind {
	case mesh.Prefix:
		return prefix + path[min(len(path), len(match.Value)):]
	case mesh.SegmentPrefix:
		rest := path[min(len(path), len(strings.TrimSuffix(match.Value, "/"))):]
		return joinSegments(prefix, rest)
	}
	return prefix
}

func joinSegments(prefix, rest string) string {
	if rest == "" {
		return prefix
	}
	joined := strings.TrimSuffix(prefix, "/") + "/" + strings.TrimPrefix(rest, "/")
	return joined
}

// replaceRegex is RE2::GlobalReplace with \0 to \9 in the substitution.
func replaceRegex(path, pattern, substitute string) string {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return path
	}
	return re.ReplaceAllString(path, goSubstitution(substitute))
}

func goSubstitution(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$':
			b.WriteString("$$")
		case s[i] == '\\' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			i++
			b.WriteString("${" + s[i:i+1] + "}")
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '\\':
			i++
			b.WriteByte('\\')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func redirectStatus(r *mesh.Redirect) uint32 {
	if r.Code == 0 {
		return 301
	}
	return r.Code
}

// location is Envoy's RouteEntryImplBase::newUri.
func (e *Evaluator) location(r *mesh.Redirect, match *mesh.Match, m *message) string {
	scheme, host, port := m.scheme, r.Host, ""
	if r.Scheme != "" {
		scheme = strings.ToLower(r.Scheme)
	}
	if r.Port != 0 {
		port = ":" + strconv.FormatUint(uint64(r.Port), 10)
	}
	if host == "" {
		host = redirectHost(m.authority, scheme != m.scheme, port != "")
	}
	return scheme + "://" + host + port + redirectPath(r, match, m)
}

// redirectHost drops the authority's port where another one is named, and HTTP's
// default port where the scheme changes.
func redirectHost(authority string, schemeChanges, portChanges bool) string {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.HasSuffix(authority, "]") {
		return authority
	}
	if portChanges || schemeChanges && authority[i:] == ":80" {
		return authority[:i]
	}
	return authority
}

func redirectPath(r *mesh.Redirect, match *mesh.Match, m *message) string {
	path, query := m.path, m.query
	if r.StripQuery {
		query = ""
	}
	switch {
	case r.PrefixRewrite != nil:
		path = replacePrefix(match.Path, path, *r.PrefixRewrite)
	case strings.Contains(r.Path, "?"):
		path, query = r.Path, "" // a query of the redirect's own wins
	case r.Path != "":
		path = r.Path
	}
	return path + query
}
