// Package envoy runs one Envoy, or adopts one that runs already.
//
// In go the path of the program, a bootstrap and a directory; out comes a
// process that outlives the agent: Envoy is the leader of a session of its own,
// so that a killed agent leaves it serving, and the next agent finds it by its
// admin socket. Only a polite end of the agent ends Envoy too, after draining.
//
// The package never looks into what Envoy serves.
package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says which Envoy to run and how.
type Config struct {
	Path        string   // of the program
	Args        []string // further arguments
	Dir         string   // for bootstrap.json and envoy.pid
	Bootstrap   []byte
	AdminSocket string
	Concurrency int           // worker threads; 0 leaves it to Envoy
	DrainTime   time.Duration // at the end; 5 s by default
	LogLevel    string        // warning by default
	Stdout      *os.File      // os.Stdout by default; must not end with the agent
	Stderr      *os.File
}

// A State is what the supervisor knows about Envoy.
type State struct {
	Phase    string `json:"phase"` // PhaseStarting, PhaseRunning, PhaseRestarting, PhaseStopped
	Adopted  bool   `json:"adopted"`
	Restarts int    `json:"restarts"`
	Error    string `json:"error,omitempty"` // why the last one ended
}

// The values of State.Phase.
const (
	PhaseStarting   = "starting"
	PhaseRunning    = "running"
	PhaseRestarting = "restarting"
	PhaseStopped    = "stopped"
)

// A Supervisor keeps one Envoy running.
type Supervisor struct {
	config Config
	admin  *Admin

	mu    sync.Mutex
	state State
}

// New returns a supervisor that has not started anything.
func New(c Config) *Supervisor {
	if c.DrainTime == 0 {
		c.DrainTime = 5 * time.Second
	}
	if c.LogLevel == "" {
		c.LogLevel = "warning"
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	return &Supervisor{config: c, admin: NewAdmin(c.AdminSocket), state: State{Phase: PhaseStarting}}
}

// Admin returns Envoy's admin interface.
func (s *Supervisor) Admin() *Admin { return s.admin }

// State returns what is known now.
func (s *Supervisor) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Supervisor) update(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

func (s *Supervisor) file(name string) string { return filepath.Join(s.config.Dir, name) }

const (
	bootstrapFile = "bootstrap.json"
	pidFile       = "envoy.pid"
)

// Times between restarts. An Envoy that ran for longer than steady starts
// again at once.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	steady     = 10 * time.Second
)

// Run adopts the Envoy that is there or starts one, and starts it again when it
// ends. When ctx is done, Envoy drains and ends; Run returns then.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.update(func(st *State) { st.Phase = PhaseStopped })
	if s.adoptable() {
		s.update(func(st *State) { st.Phase, st.Adopted = PhaseRunning, true })
		if done := s.watchAdopted(ctx); done {
			return nil
		}
		s.ended(errors.New("the adopted envoy has ended"))
	} else if s.admin.Alive() {
		s.quit(nil) // it has another bootstrap
	}
	for pause := firstPause; ; {
		began := time.Now()
		err := s.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.ended(err)
		if time.Since(began) > steady {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (s *Supervisor) ended(err error) {
	s.update(func(st *State) {
		st.Phase, st.Adopted, st.Error = PhaseRestarting, false, fmt.Sprint(err)
		st.Restarts++
	})
}

// adoptable reports whether an Envoy listens that has this bootstrap. One that
// was started a moment ago is given time to listen: a second one beside it
// would share its ports.
func (s *Supervisor) adoptable() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.until(ctx, func() bool { return s.admin.Alive() || !s.recorded() })
	have, err := os.ReadFile(s.file(bootstrapFile))
	return err == nil && bytes.Equal(have, s.config.Bootstrap) && s.admin.Alive()
}

// watchAdopted returns true when ctx ended it and false when Envoy did. The
// process is nobody's child, so its socket is asked.
func (s *Supervisor) watchAdopted(ctx context.Context) (done bool) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.quit(nil)
			return true
		case <-tick.C:
			if !s.admin.Alive() {
				return false
			}
		}
	}
}
