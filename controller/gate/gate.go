// Package gate bounds the connections of an HTTP server.
package gate

import (
	"net"
	"net/http"
	"sync"
)

// Gate closes connections that are too many when they come, before anything is read.
type Gate struct {
	all, each int

	mu   sync.Mutex
	open map[net.Conn]string // address
	of   map[string]int      // connections of an address
}

// New returns a gate for so many connections in all, and from each address.
func New(all, each int) *Gate {
	return &Gate{all: all, each: each, open: map[net.Conn]string{}, of: map[string]int{}}
}

// State is an http.Server's ConnState.
func (g *Gate) State(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateNew:
		address, _, err := net.SplitHostPort(c.RemoteAddr().String())
		if err != nil || len(g.open) >= g.all || g.of[address] >= g.each {
			_ = c.Close() // whoever means it tries again
			return
		}
		g.open[c] = address
		g.of[address]++
	case http.StateClosed, http.StateHijacked:
		address, ok := g.open[c]
		if !ok {
			return
		}
		delete(g.open, c)
		if g.of[address]--; g.of[address] == 0 {
			delete(g.of, address)
		}
	}
}
