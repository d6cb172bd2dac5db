package envoytest

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Received is what an Echo got, and the body of its answer.
type Received struct {
	Name    string      `json:"name"`    // of the Echo
	Version string      `json:"version"` // of the Echo
	Attempt int         `json:"attempt"` // 1 for the first request with this x-request-id, method and path; a retry is 2
	Method  string      `json:"method"`
	Path    string      `json:"path"` // as sent, still escaped
	Query   string      `json:"query,omitempty"`
	Host    string      `json:"host"`
	Proto   string      `json:"proto"`
	Headers http.Header `json:"headers"`
}

// Answer says what an Echo does with a request. The zero value answers 200 at once.
type Answer struct {
	Status     int           // 200 by default
	Headers    http.Header   // further response headers
	Delay      time.Duration // before the answer; ends early when the caller goes away
	FailFirst  int           // how many requests fail before the first succeeds
	FailTries  int           // how many attempts of each request (by x-request-id) fail
	FailStatus int           // what a failing one answers; 503 by default
	Reset      bool          // a failing one has its connection cut instead

	// Then is called before the answer with the headers that came: what an application
	// does that calls others.
	Then func(http.Header)
}

// Echo is an upstream over HTTP/1.1 and HTTP/2, without TLS unless a client begins with it, that answers with what it received. What
// it does is up to the test that owns it, never to the request.
type Echo struct {
	Name, Version string
	listener      net.Listener
	server        http.Server

	mu       sync.Mutex
	handlers map[string]http.Handler // by path
	answers  map[string]*Answer      // by path; "" is every other path
	attempts map[string]int          // by request id, method and path
	received []Received
}

// NewEcho starts an Echo on address; ":0" after an IP takes a free port.
func NewEcho(name, version, address string) (*Echo, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	config, err := selfSigned(name)
	if err != nil {
		listener.Close()
		return nil, err
	}
	e := &Echo{Name: name, Version: version, listener: listener,
		answers: map[string]*Answer{"": {}}, attempts: map[string]int{}}
	e.server.Handler = e
	e.server.Protocols = new(http.Protocols)
	e.server.Protocols.SetHTTP1(true)
	e.server.Protocols.SetUnencryptedHTTP2(true)
	go e.server.Serve(sniffing{listener, config})
	return e, nil
}

// RunEcho starts an Echo on a free loopback port for a test, and closes it when the test ends.
func RunEcho(t T, name, version string) *Echo {
	t.Helper()
	e, err := NewEcho(name, version, Loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Address is where the Echo listens, host:port.
func (e *Echo) Address() string { return e.listener.Addr().String() }

// IP is where the Echo listens, without the port.
func (e *Echo) IP() string { return e.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is where the Echo listens, without the IP.
func (e *Echo) Port() int { return e.listener.Addr().(*net.TCPAddr).Port }

// Close cuts all connections and frees the port.
func (e *Echo) Close() { e.server.Close() }

// Answer sets what happens to requests for path from now on; "" means every path that has no
// answer of its own.
func (e *Echo) Answer(path string, a Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers[path] = &a
}

// Handle has another answer requests for path, such as a server of gRPC; nil ends that.
func (e *Echo) Handle(path string, h http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.handlers == nil {
		e.handlers = map[string]http.Handler{}
	}
	e.handlers[path] = h
}

func (e *Echo) handler(path string) http.Handler {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handlers[path]
}

// Received returns every request so far, in the order of arrival.
func (e *Echo) Received() []Received {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Received(nil), e.received...)
}

// Count returns how often method and path, as sent, arrived; "" stands for any.
func (e *Echo) Count(method, path string) int {
	n := 0
	for _, r := range e.Received() {
		if (method == "" || r.Method == method) && (path == "" || r.Path == path) {
			n++
		}
	}
	return n
}

// Reset forgets the requests so far, and keeps the answers.
func (e *Echo) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.received, e.attempts = nil, map[string]int{}
}

// ServeHTTP answers as the test said.
func (e *Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := e.handler(r.URL.Path); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	received, answer, fails := e.record(r)
	select {
	case <-time.After(answer.Delay):
	case <-r.Context().Done():
		return
	}
	if fails && answer.Reset {
		panic(http.ErrAbortHandler)
	}
	if answer.Then != nil {
		answer.Then(r.Header)
	}
	for name, values := range answer.Headers {
		w.Header()[name] = values
	}
	status := cmp.Or(answer.Status, http.StatusOK)
	if fails {
		status = cmp.Or(answer.FailStatus, http.StatusServiceUnavailable)
	}
	w.Header().Set(echoHeader, e.Name)
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(received)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	w.Write(body)
}

// echoHeader tells an Echo's answer from Envoy's own.
const echoHeader = "X-Echo"

// record notes a request, and says what to do with it and whether it is one that fails.
func (e *Echo) record(r *http.Request) (Received, Answer, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	path, query, _ := strings.Cut(r.RequestURI, "?") // r.URL has been read and may be written otherwise
	attempt := 1
	if id := r.Header.Get("X-Request-Id"); id != "" {
		key := id + " " + r.Method + " " + path
		e.attempts[key]++
		attempt = e.attempts[key]
	}
	received := Received{
		Name: e.Name, Version: e.Version, Attempt: attempt,
		Method: r.Method, Path: path, Query: query,
		Host: r.Host, Proto: r.Proto, Headers: r.Header,
	}
	e.received = append(e.received, received)

	answer, ok := e.answers[path]
	if !ok {
		answer = e.answers[""]
	}
	fails := attempt <= answer.FailTries
	if answer.FailFirst > 0 {
		answer.FailFirst--
		fails = true
	}
	return received, *answer, fails
}
