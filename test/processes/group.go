// Package processes runs programs for the demo and the end-to-end tests. In go packages of this
// module to build and command lines; out come processes with logs in one scratch directory. None
// outlives its owner, however the owner ends: what it started dies with it, and a warden ends what
// those started, an Envoy in a session of its own for example.
//
// It tells its own processes from others by the scratch directory in their command lines: every
// program must be given a file or directory below it.
package processes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

// A Group is a scratch directory and the processes that belong to it.
type Group struct {
	Dir string

	warden *exec.Cmd
	leash  io.WriteCloser // the warden acts when it ends

	mu  sync.Mutex
	all []*Process
}

// Open makes a scratch directory and builds packages, named as in ./cmd/mesh-agent, into it.
func Open(ctx context.Context, packages ...string) (*Group, error) {
	root, err := tools.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mesh-compile-")
	if err != nil {
		return nil, err
	}
	g := &Group{Dir: dir}
	args := append([]string{"build", "-buildvcs=false", "-o", g.bin("")}, packages...)
	build := exec.CommandContext(ctx, "go", append(args, "./test/processes/warden")...)
	build.Dir, build.Stderr = root, os.Stderr
	err = build.Run()
	if err != nil {
		err = fmt.Errorf("building the programs: %w", errors.Join(err, ctx.Err()))
	} else {
		err = g.watch()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return g, nil
}

func (g *Group) bin(program string) string {
	return filepath.Join(g.Dir, "bin") + string(filepath.Separator) + program
}

// watch starts the warden, out of reach of what is sent to the owner's process group.
func (g *Group) watch() (err error) {
	g.warden = exec.Command(g.bin("warden"), g.Dir)
	g.warden.SysProcAttr = ownSession()
	if g.leash, err = g.warden.StdinPipe(); err != nil {
		return err
	}
	if err := g.warden.Start(); err != nil {
		return fmt.Errorf("starting the warden: %w", err)
	}
	return nil
}

// Start starts a program of the group; its output is appended to the log of that name.
func (g *Group) Start(name, dir, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(g.Dir, name+".log"), done: make(chan struct{})}
	if err := os.MkdirAll(filepath.Dir(p.log), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(g.bin(program), args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = dir, log, log, dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, p)
	return p, nil
}

// Exited returns an error for the first process that ended and was not asked to.
func (g *Group) Exited() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.all {
		if !p.Running() && !p.asked.Load() {
			return fmt.Errorf("%s ended: %s", p.Name, p.Tail())
		}
	}
	return nil
}

// stopLimit is how long processes may take to end politely: Envoys drain for up to five seconds.
const stopLimit = 10 * time.Second

// Stop ends all processes politely, and kills those that stay and whatever they left behind.
func (g *Group) Stop() {
	g.mu.Lock()
	all := g.all
	g.all = nil
	g.mu.Unlock()
	for _, p := range all {
		p.Interrupt()
	}
	limit := time.Now().Add(stopLimit)
	for _, p := range all {
		p.wait(time.Until(limit))
	}
	EndAll(g.Dir)
}

// Close stops all processes and removes the scratch directory, unless it is to be kept.
func (g *Group) Close(keep bool) error {
	g.Stop()
	if keep {
		if _, err := io.WriteString(g.leash, Keep); err != nil {
			return err
		}
	}
	return errors.Join(g.leash.Close(), g.warden.Wait())
}

// Keep, said to the warden, saves the scratch directory.
const Keep = "keep"
