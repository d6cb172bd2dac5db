package kubetest

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"

	"k8s.io/client-go/rest"
)

// Gate is a way to the API server on which a test holds the request that it chooses, so that a
// program can be killed between two of its steps. Credentials are those of who asks.
type Gate struct {
	URL string
	CA  []byte // PEM; without TLS, clients show no token

	mu      sync.Mutex
	holding *hold
}

// A Moment is when a request is held.
type Moment string

// Before, the API server has not seen the request; After, it has done it, and nobody was told.
const (
	Before Moment = "before"
	After  Moment = "after"
)

type hold struct {
	moment   Moment
	match    func(*http.Request) bool
	held     chan struct{}
	released chan struct{}
}

// NewGate opens a gate until the test ends.
func NewGate(t T, c *Cluster) *Gate {
	t.Helper()
	address, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(&rest.Config{Host: c.Config.Host, TLSClientConfig: rest.TLSClientConfig{CAData: c.Config.CAData}})
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(address) },
		Transport: transport, FlushInterval: -1, // watches
	}
	g := &Gate{}
	server := httptest.NewTLSServer(g.handler(proxy))
	g.URL, g.CA = server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	t.Cleanup(func() {
		server.CloseClientConnections() // watches
		server.Close()
	})
	return g
}

func (g *Gate) handler(proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := g.take(r)
		if h == nil {
			proxy.ServeHTTP(w, r)
			return
		}
		if h.moment == After {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		close(h.held)
		<-h.released
		panic(http.ErrAbortHandler) // who asked gets no answer
	})
}

// take is the hold that a request meets. It ends with the first.
func (g *Gate) take(r *http.Request) *hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.holding
	if h == nil || !h.match(r) {
		return nil
	}
	g.holding = nil
	return h
}

// Hold holds the next request that matches. The channel closes when it is held; release drops it.
func (g *Gate) Hold(moment Moment, match func(*http.Request) bool) (held <-chan struct{}, release func()) {
	h := &hold{moment, match, make(chan struct{}), make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = h
	return h.held, sync.OnceFunc(func() { close(h.released) })
}
