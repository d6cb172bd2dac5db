package analyze

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// Class is clients that have the same rules of a port.
type Class struct {
	Client *check.Workload // one of them; nil: nobody in particular
}

// Classes returns a port's clients by which of its rules exist for them. Where no
// rule asks who calls there is one class.
func (p *Pass) Classes(port *check.Port) []Class {
	if port.Gateway != "" {
		return []Class{{p.gateways[port]}}
	}
	if !AsksWhoCalls(port) {
		return []Class{{p.client(port.Service)}}
	}
	clients := p.Clients(port.Service)
	if len(clients) == 0 {
		return []Class{{}}
	}
	var out []Class
	seen := map[string]bool{}
	for _, w := range clients {
		if s := signature(port, w); !seen[s] {
			seen[s] = true
			out = append(out, Class{w})
		}
	}
	return out
}

// AsksWhoCalls reports whether a rule of the port is for some callers only.
func AsksWhoCalls(port *check.Port) bool {
	return slices.ContainsFunc(port.Rules, (*check.Rule).AsksCaller)
}

// signature says which matches of the port's rules exist for a client.
func signature(port *check.Port, w *check.Workload) string {
	var b strings.Builder
	for _, r := range port.Rules {
		for i := range r.Matches {
			alone := check.Rule{Matches: r.Matches[i : i+1]}
			b.WriteByte('0' + byte(len(alone.MatchesFor(w))))
		}
	}
	return b.String()
}
