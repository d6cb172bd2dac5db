package xds

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Settle waits until the connected Envoy has acknowledged everything and is
// warm, or has refused something.
func (s *Server) Settle(ctx context.Context) error { return s.settle(ctx, "everything") }

// settle waits for acknowledgements and warmth together: a warming listener
// subscribes to routes and secrets, whose answers are due in turn.
func (s *Server) settle(ctx context.Context, step string) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Deadline)
	defer cancel()
	for {
		if err := s.await(ctx, step, s.acknowledged); err != nil {
			return err
		}
		cold, err := s.cold(ctx)
		if err == nil && cold == "" && s.acknowledged() == "" {
			return s.verdict()
		}
		if err != nil {
			cold = err.Error()
		}
		select {
		case <-ctx.Done():
			return &TimeoutError{Step: step, Waiting: cold}
		case <-time.After(s.options.Poll):
		}
	}
}

// cold says what is not warm.
func (s *Server) cold(ctx context.Context) (string, error) {
	if s.options.Warming == nil {
		return "", nil
	}
	clusters, listeners, err := s.options.Warming(ctx)
	if err != nil || clusters+listeners == 0 {
		return "", err
	}
	return fmt.Sprintf("%d clusters and %d listeners are not warm", clusters, listeners), nil
}

func (s *Server) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil {
		return s.refusal
	}
	return nil
}

// await returns when missing has nothing more to name, or with Envoy's
// refusal, or with a timeout that says what was missing.
func (s *Server) await(ctx context.Context, step string, missing func() string) error {
	for {
		s.mu.Lock()
		wake := s.wake
		s.mu.Unlock()
		if err := s.verdict(); err != nil {
			return err
		}
		waiting := missing()
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return &TimeoutError{Step: step, Waiting: waiting}
		case <-wake:
		}
	}
}

func (s *Server) hasConn() string {
	if s.Connected() {
		return ""
	}
	return "no envoy is connected"
}

// acknowledged names the types that Envoy has yet to answer for.
func (s *Server) acknowledged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := map[string]bool{}
	due := map[string]bool{}
	for c := range s.conns {
		for t, e := range c.types {
			asked[t] = true
			if !e.idle() {
				due[short(t)] = true
			}
		}
	}
	for t := range wildcard {
		if !asked[t] {
			due[short(t)] = true
		}
	}
	var names []string
	for name := range due {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return "no acknowledgement of " + strings.Join(names, ", ")
}

// short returns a type URL's last word.
func short(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }
