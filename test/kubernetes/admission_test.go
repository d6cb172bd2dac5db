package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// finding is what is read of lint's JSON.
type finding struct{ Code, Message string }

// lint says what the command finds in the shop with one more file.
func (p *play) lint(file string) []finding {
	p.t.Helper()
	text, err := os.ReadFile(file)
	p.must(err)
	out, stderr, _ := p.tryMeshCompile("lint", "--format", "json", p.policies(map[string]string{"route.yaml": route(50), filepath.Base(file): string(text)}))
	var report struct{ Diagnostics []finding }
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Diagnostics) == 0 {
		p.t.Fatalf("lint finds nothing in %s: %v\n%s", file, err, stderr)
	}
	return report.Diagnostics
}

// kubectlRefused: apply, dry run and diff say what lint says.
func (p *play) kubectlRefused() {
	for _, name := range []string{"meshroute.yaml", "virtualservice.yaml", "authorizationpolicy.yaml"} {
		file := filepath.Join("testdata", "unsafe", name)
		found := p.lint(file)
		for _, args := range [][]string{
			{"apply", "-f", file}, {"apply", "--server-side", "-f", file}, {"apply", "--dry-run=server", "-f", file}, {"diff", "-f", file},
		} {
			out, err := p.cluster.TryKubectl(p.t, "", args...)
			if err == nil {
				p.t.Errorf("kubectl %s is not refused", strings.Join(args, " "))
			}
			for _, f := range found {
				if !strings.Contains(out, f.Code) || !strings.Contains(out, f.Message) {
					p.t.Errorf("kubectl %s does not say %q [%s]:\n%s", strings.Join(args, " "), f.Message, f.Code, out)
				}
			}
		}
	}
}

// anyOrder: a service, its rule and its route are admitted in every order; one commit has them all;
// what the next commit removes is pruned, and the namespace can be deleted.
func (p *play) anyOrder() {
	p.cluster.Namespace(p.t, "team", nil)
	dir := filepath.Join("testdata", "team")
	for _, order := range permutations([]string{"service.yaml", "rule.yaml", "route.yaml"}) {
		for _, name := range order {
			p.cluster.Kubectl(p.t, "apply", "-f", filepath.Join(dir, name))
		}
		for _, name := range order {
			p.cluster.Kubectl(p.t, "delete", "-f", filepath.Join(dir, name))
		}
	}
	files, err := os.ReadDir(dir)
	p.must(err)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		p.must(err)
		p.repository.Write(p.t, "team-"+f.Name(), string(text))
	}
	revision := p.push("a service, its rule and its route")
	p.kustomize.Applied(p.t, "shop", revision)
	p.synced(revision)
	for _, f := range files {
		p.repository.Write(p.t, "team-"+f.Name(), "")
	}
	revision = p.push("none of them")
	p.kustomize.Applied(p.t, "shop", revision)
	p.synced(revision)
	if out := p.cluster.Kubectl(p.t, "-n", "team", "get", "meshroutes,accesspolicies,services", "-o", "name"); out != "" {
		p.t.Errorf("not pruned: %s", out)
	}
	p.cluster.Kubectl(p.t, "apply", "-f", dir)
	p.cluster.Kubectl(p.t, "delete", "namespace", "team", "--timeout=60s")
}

func permutations(of []string) (out [][]string) {
	if len(of) == 0 {
		return [][]string{nil}
	}
	for i, first := range of {
		rest := append(append([]string{}, of[:i]...), of[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]string{first}, p...))
		}
	}
	return out
}

const elsewhere = `apiVersion: v1
kind: Service
metadata: {name: harmless, namespace: kube-system}
spec: {selector: {app: harmless}, ports: [{port: 80}]}
`

// webhookDown: the floor refuses, kube-system is not affected, and all is well when it is back. The safe
// route is none that is live, since the webhook is not asked about what does not change.
func (p *play) webhookDown() {
	admit := p.roles["admit"]
	admit.Kill()
	p.until(func(context.Context) error {
		out, err := p.cluster.TryApply(p.t, route(45), "--dry-run=server")
		if err == nil || !strings.Contains(out, "failed calling webhook") {
			return errors.New("a safe route is not refused for want of the webhook: " + out)
		}
		return nil
	})
	if out, err := p.cluster.TryApply(p.t, outweighed); err == nil || !strings.Contains(out, outweighedSaid) {
		p.t.Errorf("the floor does not refuse it: %v\n%s", err, out)
	}
	p.cluster.Apply(p.t, elsewhere)
	p.cluster.Kubectl(p.t, "-n", "kube-system", "delete", "service", "harmless")
	p.must(admit.Start())
	p.until(func(context.Context) error {
		if out, err := p.cluster.TryApply(p.t, route(45), "--dry-run=server"); err != nil {
			return fmt.Errorf("a safe route is refused: %w\n%s", err, out)
		}
		return nil
	})
	p.kubectlRefused()
}

// reconcilerKilled: whenever it is killed, each revision becomes one Release, and numbers rise.
func (p *play) reconcilerKilled() {
	reconcile := p.roles["reconcile"]
	for percent := 60; percent < 62; percent++ {
		p.repository.Write(p.t, "route.yaml", route(percent))
		revision := p.push("more to v2")
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			reconcile.Kill()
		}()
		<-killed
		p.must(reconcile.Start())
		p.customer.Runs(p.t, p.synced(revision))
	}
	revisions, numbers := map[string]string{}, map[int64]string{}
	for _, r := range p.releases() {
		if other := revisions[r.Spec.Revision]; other != "" {
			p.t.Errorf("%s and %s are of revision %s", other, r.Name, r.Spec.Revision)
		}
		if other := numbers[r.Status.Sequence]; other != "" {
			p.t.Errorf("%s and %s have number %d", other, r.Name, r.Status.Sequence)
		}
		revisions[r.Spec.Revision], numbers[r.Status.Sequence] = r.Name, r.Name
	}
}

// apiServerRestarts: commits go through afterwards, and nobody noticed.
func (p *play) apiServerRestarts() {
	p.underLoad(func() {
		p.cluster.KillAPIServer(p.t)
		p.cluster.StartAPIServer(p.t)
		p.repository.Write(p.t, "route.yaml", route(40))
		revision := p.push("less to v2")
		p.customer.Runs(p.t, p.synced(revision))
	})
	kubetest.Until(p.t, func(context.Context) error {
		out, err := p.cluster.TryApply(p.t, p.unsafe("meshroute.yaml"), "--dry-run=server")
		if err == nil || !strings.Contains(out, "routeshadow") {
			return errors.New("the webhook does not refuse: " + out)
		}
		return nil
	})
}
