package meshtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// Observation is what happened to a request.
type Observation struct {
	// Refused says how a caller's connection ended without an answer; the rest is
	// then empty.
	Refused string
	Status  int
	Headers http.Header // of the answer
	Body    string
	Took    time.Duration

	// Certificate is the common name of what a gateway showed, "" without TLS.
	Certificate string

	// Route is the name of the route that the caller's proxy took, Details and
	// Flags what it says of the answer, Cluster where it sent the request.
	Route, Details, Flags, Cluster string

	// Callee is the workload whose proxy got the request, CalleeDetails what that
	// says of its answer: the access rule that denied. Peer is whom it saw.
	Callee, CalleeDetails, Peer string

	// Received is what the application got; nil where none did.
	Received *envoytest.Received
}

// Ask sends a request as the evaluator's request says: through the proxy of its
// workload, or without an identity straight to a proxy of the callee, where want
// says which. The evaluator's result is where to knock, never what to expect.
func (m *Mesh) Ask(ctx context.Context, want *reach.Result) (Observation, error) {
	r := wire(&want.Request)
	r.Headers.Set(requestID, m.serial.next())
	switch {
	case want.Entry != nil:
		return m.askGateway(ctx, want, r)
	case want.Caller == nil:
		return m.askWithout(ctx, want, r)
	case !isHTTP(want):
		return m.askThrough(ctx, want, r, connect)
	}
	return m.askThrough(ctx, want, r, envoytest.Send)
}

// send is one way to put a request to an address.
type send func(context.Context, string, envoytest.Request) (envoytest.Response, error)

// wire is a request as an application behind an explicit proxy sends it.
func wire(r *reach.Request) envoytest.Request {
	out := envoytest.Request{
		Method: cmp.Or(r.Method, http.MethodGet), Path: cmp.Or(r.Path, "/"), Host: strings.TrimSuffix(r.To, ":80"),
		Headers: http.Header{}, Absolute: true,
	}
	for name, values := range r.Headers {
		if strings.EqualFold(name, "host") {
			out.Host = values[0]
			continue
		}
		out.Headers[http.CanonicalHeaderKey(name)] = values
	}
	if _, ok := out.Headers["User-Agent"]; !ok {
		out.Headers["User-Agent"] = []string{""} // net/http's own is nobody's request
	}
	return out
}

func (m *Mesh) askThrough(ctx context.Context, want *reach.Result, r envoytest.Request, by send) (Observation, error) {
	from, err := m.instanceOf(want.Caller.Key())
	if err != nil {
		return Observation{}, err
	}
	began := time.Now()
	response, err := by(ctx, from.outbound, r)
	out := observed(response, err, time.Since(began))
	if out.Refused != "" {
		return out, nil
	}
	return out, m.follow(ctx, from, want, r.Headers.Get(requestID), &out)
}

// follow adds what the proxies on the way say of a request.
func (m *Mesh) follow(ctx context.Context, from *instance, want *reach.Result, id string, out *Observation) error {
	line, err := from.logged(ctx, outbound, id, out.logTimeout())
	if err != nil {
		return out.unlogged(ctx, err)
	}
	out.Route, out.Details, out.Flags, out.Cluster = line.Route, line.Details, line.Flags, line.Cluster
	if callee := m.instanceAt(line.Upstream); callee != nil {
		out.Callee = callee.workload.Key()
		// Without its answer, the connection or the answer was lost on the way; and
		// what is no request has no id.
		if out.Details == viaUpstream && isHTTP(want) {
			err = callee.testify(ctx, id, logTimeout, out)
		}
	}
	return err
}

// logTimeout is how long to wait for what the first proxy says: a 400 may be its
// codec's, which refuses a request before it has an id.
func (o *Observation) logTimeout() time.Duration {
	if o.Status == http.StatusBadRequest {
		return codecTimeout
	}
	return logTimeout
}

// unlogged is what it means that the first proxy has no line: nothing where its codec
// may have refused the request.
func (o *Observation) unlogged(ctx context.Context, err error) error {
	if o.Status == http.StatusBadRequest {
		return ctx.Err()
	}
	return err
}

// viaUpstream is what a proxy says of an answer that is not its own.
const viaUpstream = "via_upstream"

// testify adds what the callee's proxy says of a request.
func (i *instance) testify(ctx context.Context, id string, within time.Duration, out *Observation) error {
	line, err := i.logged(ctx, inbound, id, within)
	out.CalleeDetails, out.Peer = line.Details, line.Peer
	if out.Received == nil && line.Details == viaUpstream {
		out.Received = i.received(id) // an answer without a body
	}
	return err
}

// askWithout is a caller without an identity: in plaintext, and by TLS without a
// certificate. It is refused only where both are.
func (m *Mesh) askWithout(ctx context.Context, want *reach.Result, r envoytest.Request) (Observation, error) {
	var out Observation
	callee, address, err := m.door(want)
	if err != nil {
		return out, err
	}
	r.Absolute = false
	for _, config := range []*tls.Config{nil, {InsecureSkipVerify: true}} { //nolint:gosec // a stranger verifies nobody
		r.TLS = config
		began := time.Now()
		response, err := envoytest.Send(ctx, address, r)
		if out = observed(response, err, time.Since(began)); out.Refused == "" {
			out.Callee = callee.workload.Key()
			if !isHTTP(want) {
				return out, nil
			}
			if err := callee.testify(ctx, r.Headers.Get(requestID), out.logTimeout(), &out); err != nil {
				return out, out.unlogged(ctx, err)
			}
			return out, nil
		}
	}
	return out, ctx.Err()
}

// door is where a caller without a sidecar finds the service.
func (m *Mesh) door(want *reach.Result) (*instance, string, error) {
	for _, d := range want.Route.Destinations {
		for _, w := range d.Backend.Workloads {
			for _, i := range m.instances[w.Key()] {
				if address, ok := i.inboundAddress(d.Backend.Port); ok {
					return i, address, nil
				}
			}
		}
	}
	return nil, "", fmt.Errorf("asking %s without an identity: no proxy of it runs", want.Request.To)
}

func (m *Mesh) instanceOf(workload string) (*instance, error) {
	if all := m.instances[workload]; len(all) > 0 {
		return all[0], nil
	}
	return nil, fmt.Errorf("asking as %s: its proxy does not run", workload)
}

func (m *Mesh) instanceAt(address string) *instance {
	host, _, _ := net.SplitHostPort(address)
	for _, i := range m.all() {
		if i.ip == host {
			return i
		}
	}
	return nil
}

// received is what the application got of a request.
func (i *instance) received(id string) *envoytest.Received {
	for _, r := range slices.Backward(i.echo.Received()) {
		if r.Headers.Get(requestID) == id {
			return &r
		}
	}
	return nil
}

func observed(r envoytest.Response, err error, took time.Duration) Observation {
	if err != nil {
		return Observation{Refused: err.Error(), Took: took}
	}
	out := Observation{Status: r.Status, Headers: r.Headers, Body: string(r.Body), Took: took}
	if received, err := r.Received(); err == nil {
		out.Received = &received
	}
	return out
}

// connect asks the proxy for a tunnel, and the request of the application at its
// end. Where a proxy closes the tunnel, that is its answer: status 0.
func connect(ctx context.Context, address string, r envoytest.Request) (envoytest.Response, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return envoytest.Response{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(startTimeout)) //nolint:errcheck // a TCP connection has deadlines
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n\r\n", r.Host, r.Host, requestID, r.Headers.Get(requestID))
	reader := bufio.NewReader(conn)
	tunnel, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return envoytest.Response{}, fmt.Errorf("asking %s for a tunnel: %w", address, err)
	}
	if tunnel.StatusCode != http.StatusOK {
		return envoytest.Response{Status: tunnel.StatusCode, Headers: tunnel.Header}, nil
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", r.Path, r.Host)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		if ctx.Err() != nil {
			return envoytest.Response{}, ctx.Err()
		}
		return envoytest.Response{}, errTunnelClosed
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	return envoytest.Response{Status: response.StatusCode, Headers: response.Header, Body: body.Bytes()}, err
}

var errTunnelClosed = errors.New("the tunnel was closed before an answer")

func (o *Observation) String() string {
	if o.Refused != "" {
		return "refused: " + o.Refused
	}
	out := "status " + strconv.Itoa(o.Status)
	for _, part := range []struct{ name, value string }{
		{"location", o.Headers.Get("Location")}, {"route", o.Route}, {"cluster", o.Cluster}, {"details", o.Details}, {"flags", o.Flags},
		{"callee", o.Callee}, {"details at the callee", o.CalleeDetails}, {"peer", o.Peer},
	} {
		if part.value != "" && part.value != "-" {
			out += ", " + part.name + " " + part.value
		}
	}
	if o.Received != nil {
		out += fmt.Sprintf(", received by %s %s: %s %s%s", o.Received.Name, o.Received.Version, o.Received.Method, o.Received.Host, o.Received.Path)
	}
	return out
}

// isHTTP says whether a request is one; what no service takes is asked as one.
func isHTTP(r *reach.Result) bool { return r.Port == nil || r.Port.Protocol.IsHTTP() }
