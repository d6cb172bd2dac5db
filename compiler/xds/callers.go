package xds

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// callers is what routes and traffic policies let the callers of a service's port
// do, which the callee's proxy must not undo.
type callers struct {
	idle     *time.Duration // the longest that a stream may be idle, 0: for ever; nil: nothing is written
	upgraded bool           // they speak HTTP/2 whatever the port says
}

// portID names a port across compilations, which share some values and not others.
type portID struct {
	service string
	number  uint32
}

func idOf(p *check.Port) portID { return portID{p.Service.Key(), p.Number} }

func describeCallers(m *check.Mesh) map[portID]callers {
	out := map[portID]callers{}
	for _, s := range m.Services() {
		for _, p := range s.Ports {
			for _, b := range p.Backends {
				if b.Traffic.Connections.HTTP2 == "upgrade" {
					c := out[idOf(p)]
					c.upgraded = true
					out[idOf(p)] = c
				}
			}
			for _, r := range p.Rules {
				if r.IdleTimeout != nil {
					addIdle(out, r)
				}
			}
		}
	}
	return out
}

// addIdle: a rule may lead to backends of other services than its own.
func addIdle(out map[portID]callers, r *check.Rule) {
	for i := range r.To {
		id := idOf(r.To[i].Backend.Port)
		c := out[id]
		c.idle = longer(c.idle, *r.IdleTimeout)
		out[id] = c
	}
}

// longer compares idle timeouts, of which 0 is the longest.
func longer(a *time.Duration, b time.Duration) *time.Duration {
	if a != nil && (*a == 0 || b != 0 && *a >= b) {
		return a
	}
	return &b
}

// inboundPort is a port and what its listener is made from.
type inboundPort struct {
	*check.Inbound
	access PortAccess
	idle   time.Duration // of a stream, 0: for ever
	limits *check.PortLimits
}

func (p inboundPort) equal(o inboundPort) bool {
	return p.Inbound == o.Inbound && p.idle == o.idle && p.limits.Equal(o.limits) && p.access.equal(o.access)
}

func (g *Generator) inboundPorts(w *check.Workload, access Access) []inboundPort {
	out := make([]inboundPort, len(w.Inbound))
	for i, in := range w.Inbound {
		out[i] = inboundPort{Inbound: in, access: access(w, in), idle: g.inboundIdle(in), limits: w.LimitsOf(in.Port)}
	}
	return out
}

// inboundIdle is at least what some caller's route allows: the caller's proxy
// ends its streams earlier where its own route says so.
func (g *Generator) inboundIdle(in *check.Inbound) time.Duration {
	idle := streamIdle(g.settings)
	for _, p := range in.Services {
		if written := g.callers[idOf(p)].idle; written != nil {
			idle = *longer(&idle, *written)
		}
	}
	return idle
}

// speaksHTTP1 reports whether the application must be spoken to in HTTP/1.1 by
// its port's word, although callers' proxies were told to speak HTTP/2 to it.
func (g *Generator) speaksHTTP1(in *check.Inbound) bool {
	if in.Protocol != mesh.HTTP {
		return false
	}
	for _, p := range in.Services {
		if g.callers[idOf(p)].upgraded {
			return true
		}
	}
	return false
}
