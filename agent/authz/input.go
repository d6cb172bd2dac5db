package authz

import (
	"fmt"
	"net/url"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/ast"
)

// input builds the document that the policy reads.
func (r reads) input(in *authv3.AttributeContext) (ast.Value, error) {
	http := in.GetRequest().GetHttp()
	attributes := object(
		field("source", peer(in.GetSource())),
		field("destination", peer(in.GetDestination())),
	)
	if name, known := serverName(in); known {
		attributes.Insert(text("tlsSession"), ast.NewTerm(object(field("sni", text(name)))))
	}
	var fields [][2]*ast.Term
	if http != nil {
		attributes.Insert(text("request"), ast.NewTerm(object(field("http", r.request(http)))))
		path, query, _ := strings.Cut(http.GetPath(), "?")
		if r.any("parsed_path") {
			segments, err := parsedPath(path)
			if err != nil {
				return nil, err
			}
			fields = append(fields, field("parsed_path", segments))
		}
		if r.any("parsed_query") {
			values, err := parsedQuery(query)
			if err != nil {
				return nil, err
			}
			fields = append(fields, field("parsed_query", values))
		}
	}
	fields = append(fields, field("attributes", ast.NewTerm(attributes)))
	return object(fields...), nil
}

func (r reads) request(http *authv3.AttributeContext_HttpRequest) *ast.Term {
	out := object(
		field("method", text(http.GetMethod())),
		field("path", text(http.GetPath())),
		field("host", text(http.GetHost())),
		field("scheme", text(http.GetScheme())),
		field("protocol", text(http.GetProtocol())),
	)
	joined := r.any("attributes", "request", "http", "headers")
	single := r.any("attributes", "request", "http", "headerLines")
	if !joined && !single {
		return ast.NewTerm(out)
	}
	lines := linesOf(http)
	if joined {
		out.Insert(text("headers"), headers(lines, func(all []string) *ast.Term { return text(strings.Join(all, ",")) }))
	}
	if single && http.GetHeaderMap() != nil { // else they are not known
		out.Insert(text("headerLines"), headers(lines, texts))
	}
	return ast.NewTerm(out)
}

// linesOf are the lines of each header, which Envoy sends with
// ExtAuthz.encode_raw_headers only; otherwise it has joined them. Values that are
// not UTF-8 are written as Envoy writes them into strings.
func linesOf(http *authv3.AttributeContext_HttpRequest) map[string][]string {
	out := map[string][]string{}
	for _, h := range http.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if raw := h.GetRawValue(); len(raw) > 0 {
			value = strings.ToValidUTF8(string(raw), "!")
		}
		out[h.GetKey()] = append(out[h.GetKey()], value)
	}
	for name, value := range http.GetHeaders() {
		out[name] = append(out[name], value)
	}
	return out
}

func headers(lines map[string][]string, value func([]string) *ast.Term) *ast.Term {
	out := ast.NewObject()
	for name, all := range lines {
		out.Insert(text(name), value(all))
	}
	return ast.NewTerm(out)
}

func texts(all []string) *ast.Term {
	terms := make([]*ast.Term, len(all))
	for i, s := range all {
		terms[i] = text(s)
	}
	return ast.ArrayTerm(terms...)
}

// serverName is the SNI of the connection, "" in plaintext. Who has an identity
// came by TLS: if Envoy was not told to say its session, the name is not known,
// which is not the same as none.
func serverName(in *authv3.AttributeContext) (name string, known bool) {
	session := in.GetTlsSession()
	return session.GetSni(), session != nil || in.GetSource().GetPrincipal() == ""
}

// peer has the names of opa-envoy-plugin, which are those of protobuf's JSON.
func peer(p *authv3.AttributeContext_Peer) *ast.Term {
	socket := p.GetAddress().GetSocketAddress()
	out := object(field("address", ast.NewTerm(object(field("socketAddress", ast.NewTerm(object(
		field("address", text(socket.GetAddress())),
		field("portValue", ast.IntNumberTerm(int(socket.GetPortValue()))),
	)))))))
	if principal := p.GetPrincipal(); principal != "" {
		out.Insert(text("principal"), text(principal))
	}
	return ast.NewTerm(out)
}

func parsedPath(path string) (*ast.Term, error) {
	var out []*ast.Term
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return nil, fmt.Errorf("reading the path: %w", err)
		}
		out = append(out, text(plain))
	}
	return ast.ArrayTerm(out...), nil
}

func parsedQuery(query string) (*ast.Term, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("reading the query: %w", err)
	}
	out := ast.NewObject()
	for name, all := range values {
		out.Insert(text(name), texts(all))
	}
	return ast.NewTerm(out), nil
}

func object(fields ...[2]*ast.Term) ast.Object { return ast.NewObject(fields...) }

func field(name string, value *ast.Term) [2]*ast.Term { return [2]*ast.Term{text(name), value} }

func text(s string) *ast.Term { return ast.StringTerm(s) }
