package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/admission/audit"
	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/node"
)

// quick lets certificates change within a test.
var quick = []string{"--root-ttl=16s", "--certificate-ttl=4s", "--settle=1s", "--drain=2s"}

// TestAdmit plays with replicas of admit alone: what the webhook and the floor refuse
// while certificates change, replicas come and go, and none is left.
func TestAdmit(t *testing.T) {
	w := install(t)
	w.applyShop()
	var replicas []*node.Pod
	for _, step := range []struct {
		name string
		do   func(*world)
	}{
		{"it fails closed without a write", func(w *world) { replicas = w.closesQuietly() }},
		{"names are made by the API server", (*world).generated},
		{"certificates change under load", func(w *world) { w.certificatesChange(replicas) }},
		{"replicas are replaced under load", func(w *world) { replicas = w.replaced(replicas) }},
		{"a replica is killed", func(w *world) { w.replicaKilled(replicas) }},
		{"what is there is reported", (*world).audited},
		{"the glass is broken", func(w *world) { w.breakGlass(replicas[1]) }},
		{"no replica is left", func(w *world) { w.floorHolds(replicas[1], false) }},
		{"no replica is left, and safe writes pass", (*world).passes},
		{"the certificate is brought", (*world).brought},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(w.in(t)) }) {
			return // the next begins with what this one leaves
		}
	}
}

// admit runs one more replica with other arguments, and waits until it is ready.
func (w *world) admit(args ...string) *node.Pod {
	w.t.Helper()
	text, err := json.Marshal(append([]string{"admit", "--listen=:9443"}, args...))
	w.must(err)
	w.cluster.Kubectl(w.t, "-n", system, "patch", "deployment", "mesh-admit", "--type=json",
		"-p", `[{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": `+string(text)+`}]`)
	p := w.node.Run(w.t, system, "mesh-admit")
	p.Ready(w.t)
	return p
}

// policy waits until writes have a failure policy.
func (w *world) policy(want string) {
	w.t.Helper()
	w.until(func(context.Context) error {
		out, err := w.cluster.TryKubectl(w.t, "", "get", "validatingwebhookconfiguration", "mesh-compile", "-o", "jsonpath={.webhooks[0].failurePolicy}")
		if err == nil && out != want {
			err = fmt.Errorf("the failure policy is %q, want %q", out, want)
		}
		return err
	})
}

func (w *world) closesQuietly() []*node.Pod {
	replicas := []*node.Pod{w.admit(quick...), w.admit(quick...)}
	w.policy("Fail")
	// The kinds of Istio are not installed: policies about them do no harm.
	if out := w.cluster.Kubectl(w.t, "get", "validatingadmissionpolicies", "-o", "jsonpath={.items[*].status.typeChecking.expressionWarnings}"); out != "" {
		w.t.Errorf("policies have warnings: %s", out)
	}
	return replicas
}

// generated: an object without a name is judged like any other.
func (w *world) generated() {
	create := func(manifest string) (string, error) {
		return w.cluster.TryKubectl(w.t, strings.Replace(manifest, "{name: ", "{generateName: made-", 1), "create", "-f", "-")
	}
	unsafe := w.unsafe("meshroute.yaml")
	if out, err := create(unsafe); err == nil || !strings.Contains(out, "admission webhook") || !strings.Contains(out, "[routeshadow]") {
		w.t.Errorf("a rule that is never reached is not refused: %s", out)
	}
	if out, err := create(outweighed); err == nil || !strings.Contains(out, "MeshRoute shop/made-catalog") || !strings.Contains(out, "[weights]") {
		w.t.Errorf("the floor does not refuse it: %s", out)
	}
	safe, _, _ := strings.Cut(unsafe, "  - name: canary")
	out, err := create(safe)
	if err != nil || !strings.Contains(out, "/made-customer") {
		w.t.Errorf("a safe route is not made: %v\n%s", err, out)
	}
	w.cluster.Kubectl(w.t, "-n", "shop", "delete", "meshroutes", "--all")
}

// writing is a load of safe writes.
type writing struct {
	stop func()

	mu     sync.Mutex
	done   int
	failed []error
}

// writes changes a route all the time, until stop.
func (w *world) writes() *writing {
	w.t.Helper()
	w.cluster.Apply(w.t, route(0))
	ctx, cancel := context.WithCancel(w.t.Context())
	out, ended := &writing{}, make(chan struct{})
	out.stop = func() {
		cancel()
		<-ended
	}
	go func() {
		defer close(ended)
		for percent := 1; ctx.Err() == nil; percent = percent%99 + 1 {
			err := w.write(ctx, percent)
			out.mu.Lock()
			if out.done++; err != nil && ctx.Err() == nil {
				out.failed = append(out.failed, err)
			}
			out.mu.Unlock()
		}
	}()
	return out
}

func (w *world) write(ctx context.Context, percent int) error {
	r := &v1alpha1.MeshRoute{}
	r.Namespace, r.Name = "shop", "catalog"
	patch := fmt.Sprintf(`{"spec":{"rules":[{"name":"catalog","to":[{"version":"v1","weight":%d},{"version":"v2","weight":%d}]}]}}`, 100-percent, percent)
	return w.client.Patch(ctx, r, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// count returns how many writes were tried and which failed.
func (l *writing) count() (int, []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done, slices.Clone(l.failed)
}

// unharmed does something while safe writes go on, of which none may fail.
func (w *world) unharmed(do func()) {
	w.t.Helper()
	load := w.writes()
	do()
	load.stop()
	done, failed := load.count()
	if len(failed) > 0 || done < 20 {
		w.t.Errorf("%d of %d safe writes failed: %v", len(failed), done, errors.Join(failed...))
	}
	w.t.Logf("%d safe writes, %d failed", done, len(failed))
}

func (w *world) bundle() []string {
	w.t.Helper()
	c, err := webhook.Configuration(w.t.Context(), w.client)
	w.must(err)
	return strings.SplitAfter(string(c.Webhooks[0].ClientConfig.CABundle), "-----END CERTIFICATE-----\n")
}

// certificatesChange: every root is replaced twice, and reviews go on. A replica never shows
// a certificate before its root is known: the API server keeps its connections, so that
// reviews alone would not tell.
func (w *world) certificatesChange(replicas []*node.Pod) {
	w.unharmed(func() {
		for range 2 {
			before := w.bundle()
			w.until(func(context.Context) error {
				bundle := w.bundle()
				for _, p := range replicas {
					w.trusted(p, bundle)
				}
				for _, root := range bundle {
					if root != "" && slices.Contains(before, root) {
						return errors.New("a root is still the same")
					}
				}
				return nil
			})
		}
		w.webhookRefuses()
	})
}

// trusted makes a connection to a replica as an API server does that knows these roots.
func (w *world) trusted(p *node.Pod, bundle []string) {
	w.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(strings.Join(bundle, "")))
	c, err := tls.Dial("tcp", net.JoinHostPort(p.IP, "9443"), &tls.Config{RootCAs: roots, ServerName: "mesh-admit." + system + ".svc"})
	if err != nil {
		w.t.Errorf("a new connection to %s with the roots of the configuration: %v", p.Name, err)
		return
	}
	_ = c.Close()
}

// webhookRefuses: what only the webhook can say.
func (w *world) webhookRefuses() {
	w.t.Helper()
	if out, err := w.cluster.TryApply(w.t, w.unsafe("meshroute.yaml"), "--dry-run=server"); err == nil || !strings.Contains(out, "admission webhook") || !strings.Contains(out, "routeshadow") {
		w.t.Errorf("a rule that is never reached is not refused: %s", out)
	}
}

// replaced is a rolling restart.
func (w *world) replaced(replicas []*node.Pod) []*node.Pod {
	w.unharmed(func() {
		for i, old := range replicas {
			replicas[i] = w.admit(quick...)
			old.Stop()
		}
	})
	return replicas
}

// replicaKilled: what is on its way to the replica is refused, and nothing after it. The API server does
// not ask again: its webhooks are called by a REST client that repeats no POST whose connection broke
// (k8s.io/client-go/rest/request.go, isErrRetryableFunc).
func (w *world) replicaKilled(replicas []*node.Pod) {
	load := w.writes()
	defer load.stop()
	replicas[0].Kill()
	at, _ := load.count()
	w.until(func(context.Context) error {
		if now, _ := load.count(); now < at+100 {
			return errors.New("hardly a write since")
		}
		return nil
	})
	_, failed := load.count()
	for _, err := range failed {
		if !strings.Contains(err.Error(), "failed calling webhook") {
			w.t.Error(err)
		}
	}
	w.t.Logf("%d writes failed at the moment of the death", len(failed))
	if len(failed) > 5 {
		w.t.Errorf("%d safe writes failed: %v", len(failed), errors.Join(failed...))
	}
	w.webhookRefuses()
}

// audited: what came into a namespace that only warns is reported until it is mended.
func (w *world) audited() {
	w.cluster.Namespace(w.t, "lenient", map[string]string{webhook.ModeLabel: webhook.Warn})
	unsafe := strings.ReplaceAll(w.unsafe("meshroute.yaml"), "namespace: shop", "namespace: lenient")
	out, err := w.cluster.TryApply(w.t, unsafe)
	if err != nil || !strings.Contains(out, "Warning: ") {
		w.t.Errorf("it is not admitted with warnings: %v\n%s", err, out)
	}
	report := func(ctx context.Context) (*v1alpha1.AuditReport, error) {
		var r v1alpha1.AuditReport
		return &r, w.client.Get(ctx, client.ObjectKey{Namespace: "lenient", Name: audit.Name}, &r)
	}
	w.until(func(ctx context.Context) error {
		r, err := report(ctx)
		if err == nil && (r.Errors == 0 || len(r.Findings) == 0 || !strings.HasPrefix(r.Findings[0].Object, "MeshRoute lenient/")) {
			err = fmt.Errorf("the report is %+v", r)
		}
		return err
	})
	if out := w.cluster.Kubectl(w.t, "get", "mcaudit", "-A"); !strings.Contains(out, "lenient") {
		w.t.Errorf("kubectl shows\n%s", out)
	}
	w.cluster.Kubectl(w.t, "-n", "lenient", "delete", "meshroutes", "--all")
	w.until(func(ctx context.Context) error {
		if r, err := report(ctx); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("the report is %+v: %v", r, err)
		}
		return nil
	})
}

// breakGlass: members of the group are not refused, and counted.
func (w *world) breakGlass(replica *node.Pod) {
	out, err := w.cluster.TryKubectl(w.t, w.unsafe("meshroute.yaml"), "apply", "--as=sre", "--as-group=system:masters", "--as-group=mesh-compile.dev:break-glass", "-f", "-")
	if err != nil {
		w.t.Errorf("it is refused: %s", out)
	}
	w.until(func(ctx context.Context) error {
		page, err := w.metrics(ctx, replica)
		for _, want := range []string{`mesh_admit_break_glass_total{by="user"}`, `mesh_admit_reviews_total{group="mesh-compile.dev",mode="enforce",verdict="allowed"}`, "mesh_admit_fails_closed 1"} {
			if err == nil && !strings.Contains(page, want) {
				err = fmt.Errorf("metrics lack %s", want)
			}
		}
		return err
	})
	w.cluster.Kubectl(w.t, "delete", "-f", filepath.Join("testdata", "unsafe", "meshroute.yaml"))
}

func (w *world) metrics(ctx context.Context, p *node.Pod) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.IP+":8080/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return string(page), err
}

// outweighed is an unsafe route that the floor knows, and what lint says of it.
var outweighed = strings.Replace(route(50), "weight: 50", "weight: 60", 1)

const outweighedSaid = `MeshRoute shop/catalog: 1 finding(s): spec.rules[0].to: the weights of rule "catalog" sum to 110, want 100 [weights] | mesh-compile explain`

// floorHolds kills the last replica: what is unsafe is refused by the floor, what is
// safe as configured, and the system and deletions are not held up.
func (w *world) floorHolds(last *node.Pod, safePasses bool) {
	last.Kill()
	w.until(func(context.Context) error {
		out, err := w.cluster.TryApply(w.t, route(50), "--dry-run=server")
		if (err == nil) != safePasses || err != nil && !strings.Contains(out, "failed calling webhook") {
			return fmt.Errorf("a safe route: %v\n%s", err, out)
		}
		return nil
	})
	if out, err := w.cluster.TryApply(w.t, outweighed); err == nil || !strings.Contains(out, outweighedSaid) {
		w.t.Errorf("the floor does not refuse it: %v\n%s", err, out)
	}
	w.cluster.Apply(w.t, elsewhere)
	w.cluster.Kubectl(w.t, "-n", "kube-system", "delete", "service", "harmless")
	w.cluster.Kubectl(w.t, "-n", "shop", "delete", "meshroute", "catalog", "--ignore-not-found")
}

// passes is the same with --failure-policy=Ignore; then a replica comes back.
func (w *world) passes() {
	p := w.admit(append(quick, "--failure-policy=Ignore")...)
	w.policy("Ignore")
	w.floorHolds(p, true)
	w.must(p.Start())
	w.until(func(context.Context) error {
		out, err := w.cluster.TryApply(w.t, w.unsafe("meshroute.yaml"), "--dry-run=server")
		if err == nil || !strings.Contains(out, "routeshadow") {
			return fmt.Errorf("the webhook does not refuse: %s", out)
		}
		return nil
	})
	p.Stop()
}
