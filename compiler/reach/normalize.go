package reach

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// normalize does what Envoy's connection manager does to a request before it
// looks for a route, which concerns the path (ConnectionManagerUtility::maybeNormalizePath)
// and a dot at the end of the host (strip_trailing_host_dot). It returns the
// reason of a 400 answer, "" where the request goes on.
func (m *message) normalize(s *check.Settings) string {
	switch {
	case s.Defaults != mesh.Istio && hasUnderscore(m.headers):
		return "a header's name has an underscore"
	case strings.ContainsRune(m.path, '#') || strings.ContainsRune(m.query, '#'):
		return "the path has a fragment"
	case s.RejectEscapedSlashes && hasEscapedSlash(m.path):
		return "the path has an escaped slash"
	}
	m.authority = withoutDot(m.authority)
	path, ok := canonicalPath(m.path)
	if !ok {
		return "the path cannot be normalized"
	}
	if s.MergeSlashes {
		path = mergeSlashes(path)
	}
	m.path = path
	return ""
}

// Envoy: HttpUtility::stripTrailingHostDot, where a port may follow the dot.
func withoutDot(authority string) string {
	i := strings.LastIndexByte(authority, '.')
	if i >= 0 && (i == len(authority)-1 || authority[i+1] == ':') {
		return authority[:i] + authority[i+1:]
	}
	return authority
}

// hasUnderscore: x_name may be x-name to an application, see
// HttpProtocolOptions.headers_with_underscores_action.
func hasUnderscore(headers map[string][]string) bool {
	for name := range headers {
		if strings.Contains(name, "_") {
			return true
		}
	}
	return false
}

// Envoy: PathUtil::unescapeSlashes.
func hasEscapedSlash(path string) bool {
	for i := 0; i+2 < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		switch strings.ToLower(path[i+1 : i+3]) {
		case "2f", "5c":
			return true
		}
	}
	return false
}

// mergeSlashes is Envoy's PathUtil::mergeSlashes, which leaves two of a path that
// is nothing but slashes.
func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	if strings.Trim(path, "/") == "" {
		return "//"
	}
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// stripDotParameters takes the parameters off segments that are "." or "..", as
// "..;x" is to some applications. Envoy does so before it resolves them
// (envoy.reloadable_features.strip_dotdot_segments_with_parameters); a segment
// ends at "/" only.
func stripDotParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		name, _, ok := strings.Cut(s, ";")
		if ok && (name == "." || name == "..") { // as written: escaped dots have not been undone yet
			segments[i] = name
		}
	}
	return strings.Join(segments, "/")
}

// canonicalPath is Chromium's url::CanonicalizePath, which normalize_path uses:
// dot segments are resolved, escapes of unreserved characters are undone,
// backslashes become slashes, and characters that a URL may not hold are
// escaped. It fails for an escaped NUL.
func canonicalPath(path string) (string, bool) {
	path = stripDotParameters(path)
	out := make([]byte, 0, len(path)+1)
	if path == "" || (path[0] != '/' && path[0] != '\\') {
		out = append(out, '/')
	}
	percent := -1 // where in out the last "%" is that begins no escape
	for i := 0; i < len(path); {
		if n, up := dotSegment(path[i:], out); n > 0 {
			i += n
			if up {
				out = parentOf(out)
			}
			continue
		}
		var n int
		before := len(out)
		if out, n = canonicalByte(out, path[i:]); n == 0 {
			return "", false
		}
		i += n
		switch {
		case n == 1 && path[i-1] == '%':
			percent = before
		case n == 3 && len(out) == before+1 && percent >= 0 && percent < before:
			out = escapeNested(out, percent, path[i:])
		}
	}
	return string(out), true
}

// dotSegment recognizes "." and ".." as a whole segment at the start of rest,
// where out ends in a slash. It returns how much of rest they take, with the
// slash behind them, and whether the parent is meant.
func dotSegment(rest string, out []byte) (n int, up bool) {
	if len(out) == 0 || out[len(out)-1] != '/' {
		return 0, false
	}
	first := dot(rest)
	if first == 0 {
		return 0, false
	}
	second := dot(rest[first:])
	n = first + second
	if n < len(rest) {
		if rest[n] != '/' && rest[n] != '\\' {
			return 0, false
		}
		n++
	}
	return n, second > 0
}

func dot(s string) int {
	switch {
	case strings.HasPrefix(s, "."):
		return 1
	case len(s) >= 3 && strings.EqualFold(s[:3], "%2e"):
		return 3
	}
	return 0
}

// parentOf removes the last segment of a path that ends in a slash.
func parentOf(out []byte) []byte {
	for i := len(out) - 2; i >= 0; i-- {
		if out[i] == '/' {
			return out[:i+1]
		}
	}
	return out
}

// canonicalByte appends the first character or escape of rest to out and
// returns how much of rest it took, 0 where it is not allowed.
func canonicalByte(out []byte, rest string) ([]byte, int) {
	c := rest[0]
	switch {
	case c == '\\':
		return append(out, '/'), 1
	case c == '%':
		return canonicalEscape(out, rest)
	case mustEscape(c):
		const digits = "0123456789ABCDEF"
		return append(out, '%', digits[c>>4], digits[c&15]), 1
	}
	return append(out, c), 1
}

// escapeNested keeps the character that was just unescaped at the end of out from
// making an escape of the "%" before it, and then of what follows: "%%412" would
// become "%A2". Chromium: CheckForNestedEscapes.
func escapeNested(out []byte, percent int, rest string) []byte {
	tail := out[percent+1:]
	digits := string(tail)
	if len(tail) == 1 && rest != "" {
		digits += rest[:1]
	}
	if len(digits) != 2 || !isHex(digits[0]) || !isHex(digits[1]) {
		return out
	}
	return append(append(out[:percent:percent], "%25"...), tail...)
}

func canonicalEscape(out []byte, rest string) ([]byte, int) {
	if len(rest) < 3 || !isHex(rest[1]) || !isHex(rest[2]) {
		return append(out, '%'), 1
	}
	switch c := unhex(rest[1])<<4 | unhex(rest[2]); {
	case c == 0:
		return out, 0
	case isUnreserved(c):
		return append(out, c), 3
	}
	return append(out, rest[:3]...), 3
}

func mustEscape(c byte) bool {
	return c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>?`{}^|", c) >= 0
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// normalization is which paths reach a route table.
type normalization struct{ mergeSlashes, rejectEscapedSlashes bool }

func newNormalization(s *check.Settings) *normalization {
	return &normalization{s.MergeSlashes, s.RejectEscapedSlashes}
}

// isNormal reports whether a path, without query, stays as it is.
func (n *normalization) isNormal(path string) bool {
	if strings.ContainsAny(path, "?#") || n.rejectEscapedSlashes && hasEscapedSlash(path) {
		return false
	}
	if n.mergeSlashes && strings.Contains(path, "//") {
		return false
	}
	if strings.HasPrefix(path, "/") && !strings.Contains(path, "/.") && !strings.ContainsFunc(path, rewritten) {
		return true
	}
	canonical, ok := canonicalPath(path)
	return ok && canonical == path
}

// rewritten are the characters that canonicalPath may change.
func rewritten(c rune) bool {
	return c >= 0x7f || c == '%' || c == '\\' || mustEscape(byte(c))
}

// neverNormal reports whether no path that starts with prefix stays as it is.
func (n *normalization) neverNormal(prefix string) bool {
	return n.mergeSlashes && strings.Contains(prefix, "//") && prefix != "//" ||
		n.rejectEscapedSlashes && hasEscapedSlash(prefix) ||
		strings.Contains(prefix, "/./") || strings.Contains(prefix, "/../") ||
		strings.ContainsAny(prefix, "?#")
}
