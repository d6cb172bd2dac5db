package standalone

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/source/open"
)

// endless is a repository that takes for ever to compile: reading it does.
type endless struct{ end <-chan struct{} }

func (e endless) Open(string) (fs.File, error) {
	<-e.end
	return nil, fs.ErrNotExist
}

// TestEndlessCompilation: policies that never finish compiling are refused. The
// release stays live, is signed again, and later policies are taken.
func TestEndlessCompilation(t *testing.T) {
	cfg, err := newSite(t).config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := newController(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	good := c.policy.open
	c.update(t.Context())
	if c.live == nil || c.live.Doc.Sequence != 1 {
		t.Fatalf("live is %+v", c.live)
	}

	end := make(chan struct{})
	c.cfg.CompileTimeout = 10 * time.Millisecond
	c.policy.open = func(context.Context) (*open.Tree, error) { return &open.Tree{FS: endless{end}}, nil }
	for range maxAbandoned {
		c.update(t.Context())
	}
	if r := c.status.snapshot(c.deliver).Refused; r == nil || !strings.Contains(r.Message, "longer than 10ms") {
		t.Fatalf("refused: %+v", r)
	}
	if err := c.again(); err != nil || c.live.Doc.Sequence != 2 {
		t.Errorf("signing again: %v, sequence %d", err, c.live.Doc.Sequence)
	}

	c.policy.open, c.cfg.CompileTimeout = good, deadline
	if err := os.WriteFile(cfg.Path+"/route.yaml", []byte(route(80)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.update(t.Context())
	if c.live.Doc.Sequence != 3 {
		t.Errorf("release %d is live, want the policies that followed as 3", c.live.Doc.Sequence)
	}

	c.policy.open = func(context.Context) (*open.Tree, error) { return &open.Tree{FS: endless{end}}, nil }
	c.cfg.CompileTimeout = 10 * time.Millisecond
	for range maxAbandoned {
		c.update(t.Context())
	}
	if r := c.status.snapshot(c.deliver).Refused; r == nil || !strings.Contains(r.Message, "restart the controller") {
		t.Errorf("%d compilations go on: %+v", c.compiling.Load(), r)
	}
	close(end)
	for start := time.Now(); c.compiling.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > deadline {
			t.Fatal("a compilation that ended still counts")
		}
	}
}
