package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

const distinctLoopback = envoytest.DistinctLoopback

// instance is one application with its sidecar. Envoy has the address that the
// policies name as its endpoint; the application another one, behind it.
type instance struct {
	workload, service, version string
	host                       int // last byte of both addresses
}

var instances = []instance{
	{"customer", "customer", "v1", 11},
	{"catalog-v1", "catalog", "v1", 12},
	{"catalog-v2", "catalog", "v2", 13},
	{"order", "order", "v1", 14},
	{"inventory", "inventory", "v1", 15},
	{"payment", "payment", "v1", 16},
	{"shipping", "shipping", "v1", 17},
}

func (i instance) sidecar() string { return fmt.Sprintf("127.0.10.%d", i.host) }
func (i instance) app() string     { return fmt.Sprintf("127.0.20.%d", i.host) }
func (i instance) control() string { return fmt.Sprintf("http://%s:9000", i.app()) }
func (i instance) status() string  { return fmt.Sprintf("http://%s:15020", i.sidecar()) }

const (
	controllerAddress = "127.0.10.1:15010"
	controllerStatus  = "127.0.10.1:15011"
)

// shop is everything that runs.
type shop struct {
	dir        string // scratch
	bin        string
	envoy      string
	processes  []*process
	controller *process
}

// start brings everything up and waits until every sidecar is ready.
func start(ctx context.Context) (*shop, error) {
	s, err := prepare()
	if err != nil {
		return s, err
	}
	fmt.Printf("the shop runs in %s\n", s.dir)
	if err := s.commitPolicies(ctx); err != nil {
		return s, err
	}
	if err := s.startController(ctx); err != nil {
		return s, err
	}
	for _, i := range instances {
		if err := s.startInstance(i); err != nil {
			return s, err
		}
	}
	for _, i := range instances {
		if err := s.await(ctx, i.status()+"/readyz"); err != nil {
			return s, fmt.Errorf("%s did not become ready: %w", i.workload, err)
		}
	}
	return s, nil
}

func prepare() (*shop, error) {
	root, err := tools.ModuleRoot()
	if err != nil {
		return nil, err
	}
	envoy, err := envoytest.Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mesh-compile-demo-")
	if err != nil {
		return nil, err
	}
	s := &shop{dir: dir, bin: filepath.Join(dir, "bin"), envoy: envoy}
	build := exec.Command("go", "build", "-o", s.bin+string(filepath.Separator), "./cmd/mesh-compile", "./cmd/mesh-agent", "./test/demo/shop")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return s, fmt.Errorf("building: %w", err)
	}
	return s, os.CopyFS(s.policies(), os.DirFS(filepath.Join(root, "testdata", "repos", "shop")))
}

func (s *shop) policies() string { return filepath.Join(s.dir, "policies") }
func (s *shop) state() string    { return filepath.Join(s.dir, "controller") }
func (s *shop) tokens() string   { return filepath.Join(s.dir, "tokens") }

func (s *shop) startController(ctx context.Context) error {
	p, err := s.run("controller", s.policies(), "mesh-compile", "serve", "git:main",
		"--state-dir", s.state(), "--listen", controllerAddress, "--status-address", controllerStatus,
		"--join-tokens", s.tokens())
	if err != nil {
		return err
	}
	s.controller = p
	return s.await(ctx, "http://"+controllerStatus+"/readyz")
}

func (s *shop) startInstance(i instance) error {
	proxy := fmt.Sprintf("http://%s:15001", i.sidecar())
	if _, err := s.run(i.workload+"-app", s.dir, "shop", "--service", i.service, "--version", i.version,
		"--listen", i.app()+":8080", "--control", i.app()+":9000", "--proxy", proxy); err != nil {
		return err
	}
	_, err := s.run(i.workload+"-agent", s.dir, "mesh-agent",
		"--workload", "shop/"+i.workload, "--instance", i.workload+"-0",
		"--controller", controllerAddress, "--root", filepath.Join(s.state(), "keys", "root.dsse.json"),
		"--token-file", filepath.Join(s.tokens(), "shop", i.workload+".token"), "--state-dir", filepath.Join(s.dir, i.workload),
		"--envoy", s.envoy, "--bind-address", i.sidecar(), "--app-address", i.app(),
		"--status-address", i.sidecar()+":15020")
	return err
}

// keep leaves the shop up until the user has seen enough.
func (s *shop) keep(ctx context.Context) {
	fmt.Printf("\nThe shop stays up; Ctrl-C ends it. The controller was killed by the last claim.\n")
	for _, i := range instances {
		fmt.Printf("  %-11s sidecar %s:8080, its agent %s/status\n", i.workload, i.sidecar(), i.status())
	}
	fmt.Printf("  a request from the customer: curl -x http://%s:15001 http://catalog:8080/items\n", instances[0].sidecar())
	<-ctx.Done()
}

// stop ends what runs, the agents first, which end their Envoys.
func (s *shop) stop() {
	for _, p := range s.processes {
		p.interrupt()
	}
	for _, p := range s.processes {
		p.wait(10 * time.Second)
	}
	if os.Getenv("KEEP") == "" {
		os.RemoveAll(s.dir)
	}
}

// git runs git in the policy repository.
func (s *shop) git(ctx context.Context, args ...string) error {
	args = append([]string{"-c", "user.name=demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false"}, args...)
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = s.policies()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %s", args[6], strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *shop) commitPolicies(ctx context.Context) error {
	return errors.Join(
		s.git(ctx, "init", "-q", "-b", "main"),
		s.git(ctx, "add", "-A"),
		s.git(ctx, "commit", "-q", "-m", "the shop"),
	)
}

// commitEdit replaces text in a policy file and commits it.
func (s *shop) commitEdit(ctx context.Context, file, old, replacement, message string) error {
	name := filepath.Join(s.policies(), file)
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if strings.Count(string(data), old) != 1 {
		return fmt.Errorf("%s: want %q once", file, old)
	}
	edited := strings.Replace(string(data), old, replacement, 1)
	if err := os.WriteFile(name, []byte(edited), 0o644); err != nil {
		return err
	}
	return s.git(ctx, "commit", "-q", "-a", "-m", message)
}
