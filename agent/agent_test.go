package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/agent"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// A proxy is one agent with its Envoy, and an application behind them.
type proxy struct {
	t          *testing.T
	controller *controller
	config     agent.Config
	echo       *envoytest.Echo
	ip         string
	slice      slice
	stop       context.CancelFunc
	done       chan error
}

// newProxy prepares a proxy with addresses of its own; nothing runs yet.
func newProxy(t *testing.T, c *controller) *proxy {
	t.Helper()
	p := &proxy{t: t, controller: c, echo: envoytest.RunEcho(t, "catalog", "v1"), ip: envoytest.Loopback()}
	// Not t.TempDir(): a Unix socket's path has at most 107 bytes.
	dir, err := os.MkdirTemp("", "agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p.slice = slice{inbound: p.port(), outbound: p.port(), header: "1"}
	p.config = agent.Config{
		Workload: workload, Instance: "a", Controller: c.address,
		RootFile: c.rootFile(), TokenFile: c.tokenFile(), StateDir: dir,
		Envoy:         agent.EnvoyConfig{Path: envoytest.Require(t), Concurrency: 1, DrainTime: time.Second},
		Bind:          map[string]netip.Addr{"": netip.MustParseAddr(p.ip)},
		App:           agent.AppAddress{Ports: map[uint32]netip.AddrPort{p.slice.inbound: netip.MustParseAddrPort(p.echo.Address())}},
		StatusAddress: net.JoinHostPort(p.ip, strconv.Itoa(int(p.port()))),
		Grace:         100 * time.Millisecond,
		Log:           slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	p.endpoints(p.slice.name())
	return p
}

// endpoints makes the proxy its own upstream.
func (p *proxy) endpoints(clusters ...string) {
	var all []*deliveryv1.ClusterEndpoints
	for _, name := range clusters {
		all = append(all, &deliveryv1.ClusterEndpoints{Cluster: name,
			Endpoints: []*deliveryv1.Endpoint{{Address: p.ip, Port: p.slice.inbound}}})
	}
	p.controller.change(func() { p.controller.endpoints = all })
}

func (p *proxy) port() uint32 {
	n, err := envoytest.FreePort(p.ip)
	if err != nil {
		p.t.Fatal(err)
	}
	return uint32(n)
}

// run starts the agent in this process.
func (p *proxy) run() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.done = stop, make(chan error, 1)
	go func() { p.done <- agent.Run(ctx, p.config) }()
	p.t.Cleanup(p.end)
}

// end ends the agent and its Envoy.
func (p *proxy) end() {
	if p.stop == nil {
		return
	}
	p.stop()
	if err := <-p.done; err != nil {
		p.t.Errorf("the agent ended: %v", err)
	}
	p.stop = nil
}

// until waits for a condition.
func (p *proxy) until(check func() error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	if err := envoytest.Until(ctx, check); err != nil {
		p.t.Fatal(err)
	}
}

// live waits until the release is live.
func (p *proxy) live(sequence uint64) {
	p.t.Helper()
	p.until(func() error {
		if s := p.status(); s.Sequence != sequence || !s.Ready {
			return fmt.Errorf("release %d, want %d; ready %t (%s); %s: %s", s.Sequence, sequence, s.Ready, s.Waiting, s.Code, s.Error)
		}
		return nil
	})
}

func (p *proxy) status() (s agent.Status) {
	response, err := http.Get("http://" + p.config.StatusAddress + "/status")
	if err != nil {
		s.Waiting = err.Error()
		return s
	}
	defer response.Body.Close()
	data, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(data, &s); err != nil {
		p.t.Errorf("status: %v: %s", err, data)
	}
	return s
}

// get sends a request the whole way and returns the release that routed it.
func (p *proxy) get(path string) (status int, release string) {
	p.t.Helper()
	address := net.JoinHostPort(p.ip, strconv.Itoa(int(p.slice.outbound)))
	r, err := envoytest.Send(p.t.Context(), address, envoytest.Request{Host: "catalog", Path: path})
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	received, err := r.Received()
	if err != nil {
		return r.Status, ""
	}
	return r.Status, received.Headers.Get("X-Release")
}

func (p *proxy) wantRelease(header string) {
	p.t.Helper()
	if status, got := p.get("/"); status != http.StatusOK || got != header {
		p.t.Errorf("status %d by release %q, want 200 by %q", status, got, header)
	}
}

func TestReleaseGoesLive(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	p.wantRelease("1")

	p.slice.header = "2"
	p.controller.publish(2, p.slice)
	p.live(2)
	p.wantRelease("2")
	p.until(func() error {
		if r := p.controller.report(); r.GetState() != deliveryv1.ReportRequest_STATE_APPLIED || r.GetSequence() != 2 {
			return fmt.Errorf("the newest report is %v", r)
		}
		return nil
	})
}
