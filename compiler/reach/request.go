package reach

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// NoIdentity is Request.From of a caller without a mesh identity, as is "".
const NoIdentity = "none"

// Request is a request as the caller's application sends it.
type Request struct {
	// From is the calling workload ("namespace/name"), "none" or "" for a caller
	// without a mesh identity, or the SPIFFE id of a caller outside this mesh.
	From string
	// To is host:port. Short names are looked up in the caller's namespace.
	To string
	// Gateway ("namespace/name") is where a request from outside the mesh arrives; the
	// port of To is then the gateway's, and its host what the client asks for. SNI is
	// the server name of its TLS, the host where empty; ClientCertificate that it shows
	// a certificate of the listener's CA.
	Gateway           string
	SNI               string
	ClientCertificate bool
	Method            string // GET where empty
	Path              string // with query; "/" where empty
	// Headers by name in any case; several values are several header lines.
	Headers map[string][]string
	// Peer is the address that the connection comes from, Client that of the
	// original client. Unknown ones leave rules about addresses undecided.
	Peer, Client netip.Addr
}

// message is a request on its way: what one proxy sees of it.
type message struct {
	method, scheme, authority string
	path                      string // normalized, without query
	query                     string // with its "?", or ""
	headers                   map[string][]string
}

func newMessage(r *Request) *message {
	m := &message{
		method: r.Method, scheme: "http", authority: authorityOf(r.To),
		headers: make(map[string][]string, len(r.Headers)),
	}
	if m.method == "" {
		m.method = "GET"
	}
	m.path, m.query = splitQuery(r.Path)
	if r.Path == "" {
		m.path = "/"
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		key := strings.ToLower(name)
		m.headers[key] = append(m.headers[key], r.Headers[name]...)
	}
	if host := m.headers["host"]; len(host) > 0 {
		m.authority = host[0]
		delete(m.headers, "host")
	}
	return m
}

// authorityOf is what an HTTP client writes for host:port: the default port is left out.
func authorityOf(to string) string { return strings.TrimSuffix(to, ":80") }

func splitQuery(path string) (string, string) {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

func (m *message) pathAndQuery() string { return m.path + m.query }

func (m *message) clone() *message {
	c := *m
	c.headers = make(map[string][]string, len(m.headers))
	for k, v := range m.headers {
		c.headers[k] = slices.Clone(v)
	}
	return &c
}

// values returns the lines of a header, none where it is absent. What begins with
// ":" is a part of the request itself.
func (m *message) values(name string) []string {
	switch name {
	case ":method":
		return []string{m.method}
	case ":authority", "host":
		return []string{m.authority}
	case ":path":
		return []string{m.pathAndQuery()}
	case ":scheme":
		return []string{m.scheme}
	}
	return m.headers[name]
}

// header returns the lines of a header joined by ",", and whether it is there.
func (m *message) header(name string) (string, bool) {
	values := m.values(name)
	return strings.Join(values, ","), len(values) > 0
}

// queryValue returns the first value of a query parameter, not unescaped, as
// Envoy's QueryParameterMatcher sees it.
func (m *message) queryValue(name string) (string, bool) {
	if m.query == "" {
		return "", false
	}
	for pair := range strings.SplitSeq(m.query[1:], "&") {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// cookie returns the first cookie of a name. Envoy: Utility::parseCookies.
func (m *message) cookie(name string) (string, bool) {
	for _, line := range m.headers["cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if ok && key == name {
				return strings.Trim(value, `"`), true
			}
		}
	}
	return "", false
}
