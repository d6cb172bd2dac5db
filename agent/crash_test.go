package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/agent"
)

// configVariable makes this test program an agent: one that can be killed.
const configVariable = "MESH_AGENT_TEST_CONFIG"

func TestMain(m *testing.M) {
	text := os.Getenv(configVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var c agent.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := agent.Run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// spawn runs the agent in a process of its own.
func (p *proxy) spawn() *exec.Cmd {
	p.t.Helper()
	p.config.Log = nil
	text, err := json.Marshal(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), configVariable+"="+string(text))
	out, err := os.OpenFile(filepath.Join(p.t.TempDir(), "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		p.killEnvoy()
		if text, _ := os.ReadFile(out.Name()); p.t.Failed() {
			p.t.Logf("the agent's log:\n%s", text)
		}
		out.Close()
	})
	return cmd
}

func (p *proxy) envoyPid() int {
	text, _ := os.ReadFile(filepath.Join(p.config.StateDir, "envoy.pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (p *proxy) killEnvoy() {
	if pid := p.envoyPid(); pid > 1 {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// kill ends a process as the kernel does when memory is short.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
}

func TestKilledAgentLeavesEnvoyAndIsFollowed(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	first := p.spawn()
	p.live(1)
	pid := p.envoyPid()

	kill(t, first)
	p.controller.stop()
	p.wantRelease("1") // nobody but Envoy is left

	second := p.spawn()
	p.live(1)
	p.wantRelease("1")
	if s := p.status(); !s.Envoy.Adopted || p.envoyPid() != pid {
		t.Errorf("envoy was started again: %+v, process %d, was %d", s.Envoy, p.envoyPid(), pid)
	}

	// Now both, and still no controller.
	kill(t, second)
	p.killEnvoy()
	third := p.spawn()
	p.live(1)
	p.wantRelease("1")
	if s := p.status(); s.Mark != 1 || s.SPIFFEID != spiffeID {
		t.Errorf("after the crash: %+v", s)
	}

	// The high-water mark has survived all of it.
	p.controller.start(p.controller.address)
	p.slice.header = "old"
	p.controller.publish(1, p.slice)
	p.until(func() error {
		if s := p.status(); s.Refusals["release-equivocates"] == 0 {
			return fmt.Errorf("refusals %v", s.Refusals)
		}
		return nil
	})
	p.wantRelease("1")

	// A polite end takes Envoy along.
	if err := third.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := third.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if p.envoyRuns() {
		t.Error("envoy is still there")
	}
}

func (p *proxy) envoyRuns() bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.envoyPid()))
	return err == nil && strings.Contains(string(line), p.config.StateDir)
}

func TestKilledEnvoyComesBack(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	p.killEnvoy()
	p.until(func() error {
		if s := p.status(); s.Envoy.Restarts != 1 || !s.Ready {
			return fmt.Errorf("envoy: %+v", s.Envoy)
		}
		response, err := http.Get("http://" + p.config.StatusAddress + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("readyz: %s", response.Status)
			}
		}
		return err
	})
	p.wantRelease("1")
}

// TestAgentKilledAtAnyMoment kills an agent in the middle of updates, again and
// again. Each time the next one must find a whole release, the old or the new.
func TestAgentKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("many starts")
	}
	p := newProxy(t, newController(t))
	p.slice.others = 20
	p.endpoints(p.slice.clusters()...)
	p.controller.publish(1, p.slice)
	cmd := p.spawn()
	p.live(1)
	for sequence := uint64(2); sequence < 12; sequence++ {
		p.slice.header = strconv.FormatUint(sequence, 10)
		p.slice.timeout = time.Duration(sequence) * time.Second // every cluster changes
		p.controller.publish(sequence, p.slice)
		time.Sleep(time.Duration(sequence) * 3 * time.Millisecond) // the moment, not a wait
		kill(t, cmd)
		status, release := p.get("/")
		if want := strconv.FormatUint(sequence-1, 10); status != http.StatusOK || (release != want && release != p.slice.header) {
			t.Fatalf("status %d by release %q, want %s or %s", status, release, want, p.slice.header)
		}
		cmd = p.spawn()
		p.live(sequence)
		p.wantRelease(p.slice.header)
	}
}
