package envoytest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Request is a request as it goes over the wire: nothing in it is cleaned or escaped.
type Request struct {
	Method   string // GET by default
	Host     string // the authority; the dialled address by default
	Path     string // with query; "/" by default
	Headers  http.Header
	Body     string
	Absolute bool        // absolute form, as a client of HTTP_PROXY sends it; Host is needed
	TLS      *tls.Config // the dialled listener speaks TLS
}

// Response is what came back; redirects are not followed.
type Response struct {
	Status  int
	Headers http.Header
	Body    []byte
}

// requestTimeout bounds a request whose context has no end of its own.
const requestTimeout = 30 * time.Second

// Send dials address (host:port) on a new connection, sends r and reads the answer.
func Send(ctx context.Context, address string, r Request) (Response, error) {
	transport := &http.Transport{TLSClientConfig: r.TLS, DisableKeepAlives: true, DisableCompression: true}
	return SendOver(ctx, transport, address, r)
}

// SendOver is Send over connections that a caller of many requests keeps.
func SendOver(ctx context.Context, transport *http.Transport, address string, r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := r.build(ctx, address)
	if err != nil {
		return Response{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Response{}, fmt.Errorf("sending %s %s to %s: %w", req.Method, r.Path, address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Response{}, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	return Response{Status: resp.StatusCode, Headers: resp.Header, Body: body}, nil
}

func (r Request) build(ctx context.Context, address string) (*http.Request, error) {
	scheme, path := "http", r.Path
	if r.TLS != nil {
		scheme = "https"
	}
	if path == "" {
		path = "/"
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, scheme+"://"+address, strings.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("building a request for %s: %w", address, err)
	}
	if r.Headers != nil {
		req.Header = r.Headers.Clone()
	}
	if r.Host != "" {
		req.Host = r.Host
	}
	// net/http writes an opaque URL as it is, and would escape or clean another.
	req.URL = &url.URL{Scheme: scheme, Host: address, Opaque: path}
	if r.Absolute || strings.HasPrefix(path, "//") { // which net/http would take for an authority
		req.URL.Opaque = "//" + req.Host + path
	}
	return req, nil
}

// Received returns what the Echo that answered had received. An answer of Envoy's own is an error.
func (r Response) Received() (Received, error) {
	var received Received
	if r.Headers.Get(echoHeader) == "" {
		return received, fmt.Errorf("no upstream answered: status %d: %s", r.Status, r.Body)
	}
	err := json.Unmarshal(r.Body, &received)
	return received, err
}
