package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runOnce starts Envoy and waits for its end.
func (s *Supervisor) runOnce(ctx context.Context) error {
	cmd, err := s.start()
	if err != nil {
		return err
	}
	s.update(func(st *State) { st.Phase, st.Adopted = PhaseRunning, false })
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case err := <-exited:
		return fmt.Errorf("envoy has ended: %v", err)
	case <-ctx.Done():
		s.quit(exited)
		return ctx.Err()
	}
}

func (s *Supervisor) start() (*exec.Cmd, error) {
	if err := os.WriteFile(s.file(bootstrapFile), s.config.Bootstrap, 0o600); err != nil {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	if err := os.Remove(s.config.AdminSocket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	cmd := exec.Command(s.config.Path, s.args()...)
	cmd.Stdout, cmd.Stderr = s.config.Stdout, s.config.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(s.file(pidFile), []byte(pid+"\n"), 0o600); err != nil {
		cmd.Process.Kill() //nolint:errcheck // it would run unrecorded
		cmd.Wait()         //nolint:errcheck // killed above
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	return cmd, nil
}

func (s *Supervisor) args() []string {
	args := []string{
		"--config-path", s.file(bootstrapFile),
		// Envoys on one machine then share no memory and need no base id.
		"--disable-hot-restart",
		"--drain-time-s", strconv.Itoa(int(s.config.DrainTime.Seconds())),
		// An open connection obeys the listener that it came by. Gradual draining would
		// end it some time within the drain time; so it ends with its next answer, and
		// who has lost access is refused from then on.
		"--drain-strategy", "immediate",
		"--log-level", s.config.LogLevel,
	}
	if s.config.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(s.config.Concurrency))
	}
	return append(args, s.config.Args...)
}

// quit drains Envoy, asks it to end, and kills it if it does not. exited is
// nil for an adopted one.
func (s *Supervisor) quit(exited <-chan error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.DrainTime+5*time.Second)
	defer cancel()
	if s.admin.Post(ctx, "/drain_listeners?graceful&skip_exit") == nil {
		s.waitDrained(ctx)
	}
	s.admin.Post(ctx, "/quitquitquit") //nolint:errcheck // what does not quit is killed
	if exited != nil {
		select {
		case <-exited:
			return
		case <-ctx.Done():
		}
	} else if s.waitGone(ctx) {
		return
	}
	s.kill()
	if exited != nil {
		<-exited
	}
}

// waitDrained returns when no connection is open, at the latest after the
// drain time.
func (s *Supervisor) waitDrained(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.config.DrainTime)
	defer cancel()
	s.until(ctx, func() bool {
		page, err := s.admin.Get(ctx, "/stats?filter=^server.total_connections$")
		return err != nil || strings.TrimSpace(string(page)) == "server.total_connections: 0"
	})
}

func (s *Supervisor) waitGone(ctx context.Context) bool {
	return s.until(ctx, func() bool { return !s.admin.Alive() })
}

func (s *Supervisor) until(ctx context.Context, check func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// kill ends the recorded process, if it still is this Envoy: numbers of
// processes are used again.
func (s *Supervisor) kill() {
	if s.recorded() {
		syscall.Kill(s.pid(), syscall.SIGKILL) //nolint:errcheck // it may have ended by now
	}
}

// recorded reports whether the process that was last started runs.
func (s *Supervisor) recorded() bool {
	pid := s.pid()
	return pid > 1 && runs(pid, s.file(bootstrapFile))
}

// pid returns the process that was last started, 0 when there is none.
func (s *Supervisor) pid() int {
	text, err := os.ReadFile(s.file(pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// runs reports whether the process was started with this bootstrap. Where
// there is no /proc, nothing is known and nothing is killed.
func runs(pid int, bootstrap string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(line, []byte("\x00"+bootstrap+"\x00"))
}
