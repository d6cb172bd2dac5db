package analyze

import (
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// shared is what several analyzers ask for, made when first needed.
type shared struct {
	mesh      *check.Mesh
	clients   map[string][]*check.Workload
	first     map[*check.Service]*check.Workload // of the clients
	evaluator *reach.Evaluator
}

// Evaluator answers requests on the pass's mesh.
func (p *Pass) Evaluator() *reach.Evaluator {
	if p.shared.evaluator == nil {
		p.shared.evaluator = reach.New(p.Mesh)
	}
	return p.shared.evaluator
}

// Witness makes a sample into the request of a client to a port. Without a
// client it says so by an empty From.
func Witness(port *check.Port, client *check.Workload, s *reach.Sample) *diag.Witness {
	w := &diag.Witness{To: Address(port), Method: s.Method, Path: s.Path, Headers: s.Headers}
	switch {
	case port.Gateway != "":
		w.Gateway = port.Gateway // the client is the gateway's proxy
	case client != nil:
		w.From = client.Key()
	}
	if s.Authority != "" {
		headers := map[string]string{"host": s.Authority}
		for k, v := range s.Headers {
			headers[k] = v
		}
		w.Headers = headers
	}
	return w
}

// Witness is the function of the same name for a finding about traffic, which
// shows only where somebody may call: it takes a client of the same class that
// may. Where nobody may, it is the given client's.
func (p *Pass) Witness(port *check.Port, client *check.Workload, s *reach.Sample) *diag.Witness {
	if client == nil || port.Gateway != "" {
		return Witness(port, client, s)
	}
	asks, class := AsksWhoCalls(port), signature(port, client)
	for _, other := range p.Clients(port.Service) {
		if asks && signature(port, other) != class {
			continue
		}
		w := Witness(port, other, s)
		if r, err := p.Evaluator().Evaluate(Request(w)); err == nil && r.Access.Decision == reach.Allow {
			return w
		}
	}
	return Witness(port, client, s)
}

// Address is host:port of a service's port, by a name that holds in every namespace.
func Address(port *check.Port) string {
	host := port.Service.Name
	if len(port.Service.Hosts) > 0 {
		host = port.Service.Hosts[0]
	}
	if rest, ok := strings.CutPrefix(host, "*"); ok { // of a gateway also every host
		host = "any" + rest
	}
	return fmt.Sprintf("%s:%d", host, port.Number)
}

// Request is a witness as the evaluator takes it.
func Request(w *diag.Witness) reach.Request {
	r := reach.Request{From: w.From, Gateway: w.Gateway, To: w.To, Method: w.Method, Path: w.Path, Headers: map[string][]string{}}
	for k, v := range w.Headers {
		r.Headers[k] = []string{v}
	}
	return r
}
