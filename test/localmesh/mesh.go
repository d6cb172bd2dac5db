// Package localmesh runs a mesh on this machine for the demo and the end-to-end tests: `mesh-compile
// serve` over a git repository of policies, and for each instance an application, an agent and its
// Envoy, each on a loopback address of its own. Requests leave an application through its own
// sidecar and enter through the callee's; nothing is bypassed, and nothing is simulated but the
// applications, which are this package's program app.
package localmesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/processes"
)

// Programs are the packages that a Group must have built to run a mesh.
var Programs = []string{"./cmd/mesh-compile", "./cmd/mesh-agent", "./test/localmesh/app"}

// PolicyNetwork are the first three bytes of the addresses in the policies of testdata and of the
// demo. A mesh on another network gets a copy of its policies with that in their place.
const PolicyNetwork = "127.0.10"

// Options say what mesh to run.
type Options struct {
	Name      string // of its directory in the group
	Policies  string // directory
	Network   string // PolicyNetwork by default
	Instances []Instance
	// Step, where set, is told what is being waited for.
	Step func(string)
}

// Mesh is what runs.
type Mesh struct {
	Controller *processes.Process // nil where Delivery is somebody else's

	group     *processes.Group
	dir       string
	network   string
	envoy     string
	step      func(string)
	instances []*Instance
}

// New copies the policies into a git repository and starts nothing.
func New(ctx context.Context, g *processes.Group, o Options) (*Mesh, error) {
	m := &Mesh{group: g, dir: filepath.Join(g.Dir, o.Name), network: o.Network, step: o.Step}
	if m.network == "" {
		m.network = PolicyNetwork
	}
	if m.step == nil {
		m.step = func(string) {}
	}
	for _, i := range o.Instances {
		i.mesh = m
		m.instances = append(m.instances, &i)
	}
	if !envoytest.DistinctLoopback {
		return nil, errors.New("every instance has an address of its own in 127.0.0.0/8, which this system does not give to loopback: run it on Linux")
	}
	var err error
	if m.envoy, err = envoytest.Find(); err != nil {
		return nil, err
	}
	return m, m.copyPolicies(ctx, o.Policies)
}

// Instances returns the instances in the order of Options.
func (m *Mesh) Instances() []*Instance { return m.instances }

// Instance returns the instance of a workload.
func (m *Mesh) Instance(workload string) *Instance {
	n := slices.IndexFunc(m.instances, func(i *Instance) bool { return i.Workload == workload })
	return m.instances[n]
}

// Policies is the policy repository.
func (m *Mesh) Policies() string { return filepath.Join(m.dir, "policies") }

// State is the controller's state directory.
func (m *Mesh) State() string { return filepath.Join(m.dir, "controller") }

// RootFile is the root document that agents trust.
func (m *Mesh) RootFile() string { return filepath.Join(m.State(), "keys", "root.dsse.json") }

// TokenFile is the join token of a workload.
func (m *Mesh) TokenFile(workload string) string {
	return filepath.Join(m.tokens(), Namespace, workload+".token")
}

func (m *Mesh) tokens() string { return filepath.Join(m.dir, "tokens") }

// Delivery is the address that agents connect to, host:port.
func (m *Mesh) Delivery() string { return m.network + ".1:15010" }

// ControllerURL is where the controller serves /status.
func (m *Mesh) ControllerURL() string { return "http://" + m.network + ".1:15011" }

// Start brings everything up and waits until every sidecar is ready.
func (m *Mesh) Start(ctx context.Context) error {
	m.step("starting the controller: it compiles, signs and delivers")
	if err := m.StartController(ctx); err != nil {
		return err
	}
	m.step(fmt.Sprintf("starting %d applications, each with an agent and an Envoy", len(m.instances)))
	return m.StartInstances(ctx)
}

// StartController starts `mesh-compile serve`, again after it was killed, and waits until a
// release is live.
func (m *Mesh) StartController(ctx context.Context) (err error) {
	m.Controller, err = m.group.Start(m.name("controller"), m.Policies(), "mesh-compile", "serve", "git:main",
		"--state-dir", m.State(), "--listen", m.Delivery(), "--status-address", strings.TrimPrefix(m.ControllerURL(), "http://"),
		"--join-tokens", m.tokens())
	if err != nil {
		return err
	}
	return m.await(ctx, m.ControllerURL()+"/readyz")
}

// StartInstances starts every application and sidecar, and waits until each is ready.
func (m *Mesh) StartInstances(ctx context.Context) error {
	for _, i := range m.instances {
		if err := errors.Join(i.startApp(), i.StartAgent()); err != nil {
			return err
		}
	}
	for _, i := range m.instances {
		if err := i.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// name is that of a process in the group.
func (m *Mesh) name(process string) string {
	rel, _ := filepath.Rel(m.group.Dir, m.dir) // it is below
	return filepath.Join(rel, process)
}

// startLimit is how long one part may take to come up.
const startLimit = 60 * time.Second

func (m *Mesh) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return m.Until(ctx, func() error { return get(url, nil) })
}

// Until repeats a check until it holds, a process ends by itself, or ctx does.
func (m *Mesh) Until(ctx context.Context, check func() error) error {
	for {
		err := check()
		if err == nil {
			return nil
		}
		if died := m.group.Exited(); died != nil {
			return died
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, while waiting: %w", ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// LogDir is where the logs of the mesh are.
func (m *Mesh) LogDir() string { return m.dir }

// move gives a policy the mesh's addresses.
func (m *Mesh) move(policy []byte) []byte {
	return []byte(strings.ReplaceAll(string(policy), PolicyNetwork+".", m.network+"."))
}

func (m *Mesh) copyPolicies(ctx context.Context, from string) error {
	if err := os.CopyFS(m.Policies(), os.DirFS(from)); err != nil {
		return err
	}
	err := filepath.WalkDir(m.Policies(), func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(name, m.move(data), 0o644)
	})
	if err != nil {
		return err
	}
	if err := m.git(ctx, "init", "-q", "-b", "main"); err != nil {
		return err
	}
	return m.Commit(ctx, "the policies")
}

// PrintLogs copies the end of every log, for a test that failed.
func (m *Mesh) PrintLogs(w io.Writer) {
	logs, _ := filepath.Glob(filepath.Join(m.dir, "*.log")) // the pattern is good
	for _, log := range logs {
		fmt.Fprintf(w, "%s:\n%s\n", filepath.Base(log), processes.Tail(log))
	}
}
