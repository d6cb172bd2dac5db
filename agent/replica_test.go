package agent_test

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// TestCertificatesByTokens: the CA is a server of its own and believes no
// certificate; the token is written anew, as Kubernetes does it.
func TestCertificatesByTokens(t *testing.T) {
	t.Parallel()
	c := newController(t)
	c.life, c.tokenOnly = 3*time.Second, true
	p := newProxy(t, c)
	p.config.CA = c.issueElsewhere()
	c.publish(1, p.slice)
	p.run()
	p.live(1)
	for round := range 3 {
		before := c.issuedSoFar()
		token := fmt.Sprint("projected-", round)
		c.change(func() { c.tokens[token] = spiffeID })
		if err := os.WriteFile(p.config.TokenFile, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		p.until(func() error {
			if c.issuedSoFar() == before {
				return fmt.Errorf("no certificate for token %s: %s", token, p.status().Certificate.Error)
			}
			return nil
		})
	}
	p.wantRelease("1")
}

// TestLeavesWhenAsked: a controller that stops in order has its agents at another
// before it ends; to them it was never lost.
func TestLeavesWhenAsked(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	old, ended := p.controller.server, make(chan struct{})
	before := p.controller.watches()
	go func() { old.GracefulStop(); close(ended) }()
	p.until(func() error { // it no longer listens
		l, err := net.Listen("tcp", p.controller.address)
		if err == nil {
			l.Close()
		}
		return err
	})
	p.controller.start(p.controller.address)
	p.until(func() error {
		if s := p.status(); !s.Connected || s.LastLoss != "" {
			t.Fatalf("the controller was lost: %q", s.LastLoss)
		}
		select {
		case <-ended:
			return nil
		default:
			return fmt.Errorf("the agent stays; watched %d times, %d before", p.controller.watches(), before)
		}
	})
	p.slice.header = "2"
	p.controller.publish(2, p.slice)
	p.live(2)
	if s := p.status(); s.LastLoss != "" {
		t.Errorf("the controller was lost: %q", s.LastLoss)
	}
}

// TestFetchesAgain: a controller that is busy sends the update once; the agent asks
// for its blobs until it has them.
func TestFetchesAgain(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.change(func() { p.controller.busy = 3 })
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	if n := p.controller.watches(); n != 1 {
		t.Errorf("it watched %d times: it was given the update again", n)
	}
	if s := p.status(); s.Refusals["agent-fetch"] != 3 {
		t.Errorf("refusals %v, want 3 downloads that broke", s.Refusals)
	}
}
