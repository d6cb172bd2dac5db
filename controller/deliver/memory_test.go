package deliver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// idleVariable tells TestIdleAgents where to find the controller.
const idleVariable = "DELIVER_IDLE_AGENTS"

// BenchmarkMemory is what an agent costs a replica: a TLS connection with a stream of
// releases and one of endpoints. The agents are another process.
func BenchmarkMemory(b *testing.B) {
	const agents = 1000
	for b.Loop() {
		h := start(b)
		p := newPublisher(b, agents)
		h.publish(b, p.release(b))
		p.result = nil
		dir := b.TempDir()
		if err := h.ca.WritePrivateKey(filepath.Join(dir, "ca.key")); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "ca.crt"), h.ca.RootPEM(), 0o600); err != nil {
			b.Fatal(err)
		}
		before := inUse()
		stop := idleAgents(b, fmt.Sprintf("%s %d %s", h.addr, agents, dir))
		if n := h.Watchers(); n != agents {
			b.Fatalf("%d agents watch", n)
		}
		b.ReportMetric(float64(inUse()-before)/agents/1000, "kB/agent")
		stop()
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// idleAgents starts the other process and returns when its agents have the release.
func idleAgents(b *testing.B, where string) (stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleAgents$", "-test.v")
	cmd.Env = append(os.Environ(), idleVariable+"="+where)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop = func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return stop
		}
		said.WriteString(lines.Text() + "\n")
	}
	stop()
	b.Fatalf("the agents did not connect:\n%s", said.String())
	return nil
}

// TestIdleAgents is the process of BenchmarkMemory's agents.
func TestIdleAgents(t *testing.T) {
	var addr, dir string
	var agents int
	where := os.Getenv(idleVariable)
	if where == "" {
		t.Skip("a benchmark runs it")
	}
	if _, err := fmt.Sscan(where, &addr, &agents, &dir); err != nil {
		t.Fatal(err)
	}
	ca, err := identity.LoadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{ca: ca, addr: addr}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range agents {
		a := h.connect(t, serviceName(i), nil)
		stream, err := a.client.Watch(ctx, &deliveryv1.WatchRequest{Workload: a.workload, Instance: "pod"})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		ends, err := a.client.WatchEndpoints(ctx)
		if err == nil {
			err = ends.Send(&deliveryv1.EndpointsRequest{Workload: a.workload, Clusters: []string{"outbound|8080||" + serviceName(i) + ".shop"}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("\nready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
