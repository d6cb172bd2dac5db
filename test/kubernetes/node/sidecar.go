package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/localmesh"
	"github.com/mesh-compile/mesh-compile/test/processes"
)

// Where agents find the control plane, and who they are for it.
const (
	Controller = "mesh-deliver.mesh-system.svc:15010"
	CA         = "mesh-ca.mesh-system.svc:15012"
	Audience   = "mesh-compile-ca"
)

// Sidecar is a pod with an application, an agent and its Envoy. Envoy has the pod's address, and the
// application a loopback address, as if they shared the pod's network.
type Sidecar struct {
	Namespace, Workload string
	Service, Version    string
	ServiceAccount      string // the service's name by default
	Root                string // the root document's file
	AgentArgs           []string

	IP         string
	App, Agent *kubetest.Process
	localmesh.Application

	name, dir string
	node      *Node
	probing   context.CancelFunc
	probed    chan struct{}
}

// Programs of a sidecar, as Build names them.
const (
	agentPackage = "./cmd/mesh-agent"
	appPackage   = "./test/localmesh/app"
)

// RunSidecar runs a pod of a workload, labelled with its service and version, and waits for nothing.
func (n *Node) RunSidecar(t kubetest.T, s Sidecar) *Sidecar {
	t.Helper()
	envoytest.Require(t)
	s.node, s.IP, s.ServiceAccount = n, kubetest.PodIP(), cmp.Or(s.ServiceAccount, s.Service)
	s.name = s.Workload + "-" + strings.ReplaceAll(strings.TrimPrefix(s.IP, "10.244."), ".", "-")
	s.dir = filepath.Join(n.dir, s.name)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n.cluster.RunPod(t, kubetest.Pod{
		Namespace: s.Namespace, Name: s.name, ServiceAccount: s.ServiceAccount, IP: s.IP, NotReady: true,
		Labels: map[string]string{"app": s.Service, "version": s.Version},
	})
	out := &s
	t.Cleanup(func() { out.end(t) })
	if err := out.start(t); err != nil {
		t.Fatal(err)
	}
	return out
}

// appIP is the loopback address of the application.
func (s *Sidecar) appIP() string {
	b := netip.MustParseAddr(s.IP).As4()
	return netip.AddrFrom4([4]byte{127, 100, b[2], b[3]}).String()
}

func (s *Sidecar) start(t kubetest.T) (err error) {
	app := s.appIP()
	s.Application = localmesh.Application("http://" + app + ":9000")
	s.App, err = kubetest.StartProcess(filepath.Join(s.node.dir, s.name+"-app.log"), nil, kubetest.Build(t, appPackage),
		"--service", s.Service, "--version", s.Version, "--listen", app+":8080", "--control", app+":9000", "--proxy", "http://"+s.IP+":15001")
	if err != nil {
		return err
	}
	envoy, err := envoytest.Find()
	if err != nil {
		return err
	}
	token := filepath.Join(s.dir, "token")
	text := s.node.cluster.Token(t, kubetest.TokenRequest{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Audience: Audience, Pod: s.name})
	if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
		return err
	}
	args := []string{
		"--workload", s.Namespace + "/" + s.Workload, "--instance", s.name,
		"--controller", Controller, "--ca", CA, "--root", s.Root, "--token-file", token,
		"--state-dir", filepath.Join(s.dir, "agent"), "--envoy", envoy,
		"--bind-address", s.IP, "--app-address", app, "--status-address", s.IP + ":15020",
	}
	s.Agent, err = kubetest.StartProcess(filepath.Join(s.node.dir, s.name+".log"), nil, kubetest.Build(t, agentPackage), append(args, s.AgentArgs...)...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.probing, s.probed = cancel, make(chan struct{})
	go func() {
		defer close(s.probed)
		keepReady(ctx, s.ready, func(ready bool) error { return s.node.setReady(s.Namespace, s.name, ready) })
	}()
	return nil
}

func (s *Sidecar) ready(ctx context.Context) error { return probe(ctx, "http://"+s.IP+":15020/readyz") }

// Ready waits until the sidecar takes traffic.
func (s *Sidecar) Ready(t kubetest.T) {
	t.Helper()
	kubetest.Until(t, func(ctx context.Context) error {
		if !s.Agent.Running() {
			t.Fatalf("the agent of %s ended:\n%s", s.name, s.Agent.Tail())
		}
		return s.ready(ctx)
	})
}

// Delete ends the pod as Kubernetes does: it is not ready any more, then its processes are asked to
// end, and then it is gone.
func (s *Sidecar) Delete(t kubetest.T) {
	t.Helper()
	s.probing()
	<-s.probed
	if err := s.node.setReady(s.Namespace, s.name, false); err != nil {
		t.Error(err)
	}
	s.Agent.Stop(terminationGrace)
	s.App.Stop(terminationGrace)
	if err := s.node.cluster.DeletePod(context.Background(), s.Namespace, s.name); err != nil {
		t.Error(err)
	}
}

// end takes the pod away when a test ends, Envoy included, which outlives its agent.
func (s *Sidecar) end(t kubetest.T) {
	if t.Failed() && s.Agent != nil {
		t.Logf("log of the agent of %s:\n%s", s.name, processes.Tail(s.Agent.Log)) // without access logs
	}
	if s.probing != nil {
		s.probing()
		<-s.probed
	}
	for _, p := range []*kubetest.Process{s.Agent, s.App} {
		if p != nil {
			p.Kill()
		}
	}
	if pid, err := s.EnvoyPid(); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	_ = s.node.cluster.DeletePod(context.Background(), s.Namespace, s.name) // its namespace may be gone
}

// StartAgent starts the agent again after it was killed.
func (s *Sidecar) StartAgent(t kubetest.T) {
	t.Helper()
	if err := s.Agent.Start(); err != nil {
		t.Fatal(err)
	}
}

// EnvoyPid is the process id of Envoy, as its agent wrote it down.
func (s *Sidecar) EnvoyPid() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "agent", "envoy.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// Status asks the agent.
func (s *Sidecar) Status() (state localmesh.AgentState, err error) {
	text, err := localmesh.Page("http://" + s.IP + ":15020/status")
	if err != nil {
		return state, err
	}
	return state, json.Unmarshal([]byte(text), &state)
}

// Runs waits until Envoy has acknowledged a release.
func (s *Sidecar) Runs(t kubetest.T, sequence int64) {
	t.Helper()
	kubetest.Until(t, func(context.Context) error {
		state, err := s.Status()
		if err == nil && (state.Sequence != uint64(sequence) || state.State != "applied") {
			err = fmt.Errorf("%s runs release %d (%s) and not %d; %s", s.name, state.Sequence, state.State, sequence, state.Error)
		}
		return err
	})
}

// Upstreams returns the addresses that Envoy has for the clusters of a service.
func (s *Sidecar) Upstreams(service string) ([]string, error) {
	socket := filepath.Join(s.dir, "agent", "admin.sock")
	admin := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := admin.Get("http://envoy/clusters")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, m := range upstream.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], "|"+service+".") {
			found[m[2]] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// upstream is a line about an endpoint: CLUSTER::IP:PORT::cx_active::0.
var upstream = regexp.MustCompile(`(?m)^(outbound\S*?)::([0-9.]+):[0-9]+::cx_active::`)
