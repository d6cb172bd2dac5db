package localmesh

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/mesh-compile/mesh-compile/test/processes"
)

// Namespace is that of every workload.
const Namespace = "shop"

// Instance is one application with its sidecar. Envoy has the address that the policies name as the
// workload's endpoint; the application another one, behind it.
type Instance struct {
	Workload, Service, Version string
	Host                       int // last byte of the sidecar's address; the application's is 100 more

	Agent *processes.Process
	mesh  *Mesh
}

// Sidecar is Envoy's IP address.
func (i *Instance) Sidecar() string { return fmt.Sprintf("%s.%d", i.mesh.network, i.Host) }

// App is the application's IP address.
func (i *Instance) App() string { return fmt.Sprintf("%s.%d", i.mesh.network, i.Host+100) }

// Proxy is the URL of the outbound proxy that the application uses.
func (i *Instance) Proxy() string { return "http://" + i.Sidecar() + ":15001" }

// AgentURL is where the agent serves /status.
func (i *Instance) AgentURL() string { return "http://" + i.Sidecar() + ":15020" }

// StateDir is the agent's.
func (i *Instance) StateDir() string { return filepath.Join(i.mesh.dir, i.Workload) }

func (i *Instance) control() string { return "http://" + i.App() + ":9000" }

func (i *Instance) startApp() error {
	_, err := i.mesh.group.Start(i.mesh.name(i.Workload+"-app"), i.mesh.dir, "app", "--service", i.Service, "--version", i.Version,
		"--listen", i.App()+":8080", "--control", i.App()+":9000", "--proxy", i.Proxy())
	return err
}

// StartAgent starts the agent, again after it was killed.
func (i *Instance) StartAgent() (err error) {
	m := i.mesh
	i.Agent, err = m.group.Start(m.name(i.Workload+"-agent"), m.dir, "mesh-agent",
		"--workload", Namespace+"/"+i.Workload, "--instance", i.Workload+"-0",
		"--controller", m.Delivery(), "--root", m.RootFile(), "--token-file", m.TokenFile(i.Workload),
		"--state-dir", i.StateDir(), "--envoy", m.envoy, "--bind-address", i.Sidecar(), "--app-address", i.App(),
		"--status-address", i.Sidecar()+":15020")
	return err
}

// Ready waits until the sidecar takes traffic.
func (i *Instance) Ready(ctx context.Context) error {
	if err := i.mesh.await(ctx, i.AgentURL()+"/readyz"); err != nil {
		return fmt.Errorf("the sidecar of %s does not become ready: %w\n%s", i.Workload, err, i.Agent.Tail())
	}
	return nil
}

// EnvoyPid is the process id of the sidecar's Envoy, as its agent wrote it down.
func (i *Instance) EnvoyPid() (int, error) {
	text, err := os.ReadFile(filepath.Join(i.StateDir(), "envoy.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// KillEnvoy ends Envoy as kill -9 does, and waits until it is gone.
func (i *Instance) KillEnvoy(ctx context.Context) error {
	pid, err := i.EnvoyPid()
	if err != nil {
		return err
	}
	for _, p := range processes.Find(i.StateDir()) {
		if p.Pid != pid {
			continue // the number may be another's by now
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return i.mesh.Until(ctx, func() error {
		for _, p := range processes.Find(i.StateDir()) {
			if p.Pid == pid {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// AgentState is what is read of an agent's status document.
type AgentState struct {
	Sequence      uint64            `json:"sequence"`
	HighWaterMark uint64            `json:"highWaterMark"`
	Ready         bool              `json:"ready"`
	State         string            `json:"state"`
	Code          string            `json:"code"`
	Error         string            `json:"error"`
	Connected     bool              `json:"connected"`
	Refusals      map[string]uint64 `json:"refusals"`
	Envoy         struct {
		Phase    string `json:"phase"`
		Adopted  bool   `json:"adopted"`
		Restarts int    `json:"restarts"`
	} `json:"envoy"`
}

// Status asks the agent.
func (i *Instance) Status() (AgentState, error) {
	var s AgentState
	return s, get(i.AgentURL()+"/status", &s)
}
