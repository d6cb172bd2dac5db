package reach

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Entry is where a request from outside the mesh arrived.
type Entry struct {
	Port     *check.GatewayPort
	Listener *check.GatewayListener // nil: none takes it
	SNI      string                 // "" without TLS
}

// entered is a request from outside, at a gateway's proxy: handshake, normalization,
// routes, and then the callee as for any client, which the gateway is.
func (e *Evaluator) entered(out Result, who *caller, host string, number uint32, m *message) (Result, error) {
	if who.identity != "" {
		return out, fmt.Errorf("a request arrives at gateway %s from outside the mesh, and not from %s", out.Request.Gateway, out.Request.From)
	}
	w, port := e.gatewayPort(out.Request.Gateway, number)
	if w == nil {
		return out, fmt.Errorf("no workload serves gateway %s at port %d", out.Request.Gateway, number)
	}
	who.identity = w.Identity
	out.Caller, out.Entry = w, &Entry{Port: port}
	if port.TLS {
		if m.authority == out.Request.To { // clients leave out HTTPS' default port
			m.authority = strings.TrimSuffix(m.authority, ":443")
		}
		out.Entry.SNI = strings.ToLower(out.Request.SNI)
		if out.Entry.SNI == "" {
			out.Entry.SNI = strings.ToLower(host)
		}
	}
	if reason := out.accept(); reason != "" {
		return out.closed(reason), nil
	}
	var table *check.GatewayRoute
	l := out.Entry.Listener
	if l != nil && !l.Protocol.SeesRequests() {
		if table = tableFor(l, out.Entry.SNI); table == nil {
			return out.closed(fmt.Sprintf("no route at listener %s is for server name %q: the connection is closed", l.ID(), out.Entry.SNI)), nil
		}
	} else {
		if reason := m.normalize(e.mesh.Settings()); reason != "" {
			return out.refused(400, reason), nil
		}
		var status uint32
		if table, status = requestTable(out.Entry, hostOf(m.authority)); status != 0 {
			return out.refused(status, fmt.Sprintf("no route of the gateway is for host %s", m.authority)), nil
		}
		if l != nil && l.Protocol == mesh.ListenHTTPS {
			m.scheme = "https"
		}
		out.Entry.Listener = listenerOf(port, table)
	}
	out.Port = table.Table()
	out.Route = e.route(out.Port, w, m)
	out.Status, out.Reason = out.Route.Status, out.Route.Reason
	if out.Route.Action == ActionRoute {
		out.Access = e.callees(out.Route.Destinations, who, m)
		out = out.denied()
	}
	return out, nil
}

// gatewayPort finds who serves a port of a gateway, by the number that clients use.
func (e *Evaluator) gatewayPort(gateway string, number uint32) (*check.Workload, *check.GatewayPort) {
	for _, w := range e.mesh.Workloads() {
		for _, p := range w.Gateway {
			if p.Number == number && slices.ContainsFunc(p.Listeners, func(l *check.GatewayListener) bool { return l.Gateway == gateway }) {
				return w, p
			}
		}
	}
	return nil, nil
}

// accept is the handshake: it chooses the listener by server name, or says why the
// connection is closed. A port without TLS has none to choose, unless it is of TCP.
func (r *Result) accept() string {
	entry := r.Entry
	if !entry.Port.TLS {
		if l := entry.Port.Listeners[0]; l.Protocol == mesh.ListenTCP {
			entry.Listener = l
			entry.SNI = "*"
		}
		return ""
	}
	best := 0
	for _, l := range entry.Port.Listeners {
		for _, h := range hostsOf(l) {
			if n := closeness(h, entry.SNI); n > best {
				best, entry.Listener = n, l
			}
		}
	}
	l := entry.Listener
	switch {
	case l == nil:
		return fmt.Sprintf("no listener is for server name %q: the connection is closed", entry.SNI)
	case l.TLS.Mode == mesh.TLSMutual && !r.Request.ClientCertificate:
		return fmt.Sprintf("listener %s demands a client's certificate, and there is none: refused at the handshake", l.ID())
	}
	return ""
}

// hostsOf are the server names of a listener's chains: where no requests are seen,
// each route has one.
func hostsOf(l *check.GatewayListener) (out []string) {
	if l.Protocol.SeesRequests() {
		return l.Hosts
	}
	for _, r := range l.Routes {
		out = append(out, r.Hosts...)
	}
	return out
}

// closeness orders the hosts over a name as Envoy's domains and server names: the
// name itself, then the longest wildcard, then "*"; 0 is not over it.
func closeness(host, name string) int {
	switch {
	case host == name:
		return 1000
	case host == "*":
		return 1
	case strings.HasPrefix(host, "*.") && check.Covers(host, name):
		return len(host)
	}
	return 0
}

func tableFor(l *check.GatewayListener, name string) (best *check.GatewayRoute) {
	most := 0
	for _, r := range l.Routes {
		for _, h := range r.Hosts {
			if n := closeness(h, name); n > most {
				most, best = n, r
			}
		}
	}
	return best
}

// requestTable finds the routes for a host: of the chain's listener, or of all that
// share a port without TLS. Otherwise it is the status of the answer: 421 where the
// host is another listener's.
func requestTable(entry *Entry, host string) (best *check.GatewayRoute, status uint32) {
	most, status := 0, uint32(404)
	for _, l := range entry.Port.Listeners {
		if l.Protocol != mesh.ListenHTTP && l != entry.Listener {
			for _, h := range l.Hosts {
				if n := closeness(h, host); entry.Listener != nil && n > most {
					most, best, status = n, nil, 421
				}
			}
			continue
		}
		for _, h := range l.Hosts {
			if n := closeness(h, host); n > most {
				most, best, status = n, nil, 404
			}
		}
		for _, r := range l.Routes {
			for _, h := range r.Hosts {
				if n := closeness(h, host); n >= most && n > 0 {
					most, best, status = n, r, 0
				}
			}
		}
	}
	return best, status
}

// listenerOf is the listener that a route table is of.
func listenerOf(port *check.GatewayPort, table *check.GatewayRoute) *check.GatewayListener {
	i := slices.IndexFunc(port.Listeners, func(l *check.GatewayListener) bool { return slices.Contains(l.Routes, table) })
	return port.Listeners[i]
}

// hostOf is the name in an authority: listeners know their port.
func hostOf(authority string) string {
	host := authority
	if name, _, err := net.SplitHostPort(authority); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// closed is a connection that ends without an answer.
func (r Result) closed(reason string) Result {
	r.Reason = reason
	r.Route = Route{Action: ActionNone, Reason: reason}
	r.Access = Access{Decision: Deny, Reason: reason}
	return r
}
