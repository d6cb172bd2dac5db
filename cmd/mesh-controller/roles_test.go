package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/identity/kubernetes"
	"github.com/mesh-compile/mesh-compile/controller/store"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

const system = "mesh-system"

// meshKeys writes the keys of a mesh as keygen does.
func meshKeys(t *testing.T) (dir string, root *sign.TrustedRoot, ca *identity.CA) {
	t.Helper()
	dir = t.TempDir()
	expires := time.Now().Add(365 * 24 * time.Hour)
	ca, err := identity.NewCA("mesh.example", expires)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sign.Keygen(sign.KeygenOptions{MeshID: "mesh", TrustDomain: "mesh.example", ExpiresAt: expires, ServerRoots: []string{string(ca.RootPEM())}})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		keys.Release.WritePrivateKey(filepath.Join(dir, "release.key")), ca.WritePrivateKey(filepath.Join(dir, "ca.key")),
		os.WriteFile(filepath.Join(dir, "ca.crt"), ca.RootPEM(), 0o600), os.WriteFile(filepath.Join(dir, "root.dsse.json"), keys.Document, 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = sign.OpenRoot(keys.Document); err != nil {
		t.Fatal(err)
	}
	return dir, root, ca
}

// running is a role that runs in this process.
type running struct {
	health, metrics string
	log             output
	stop            func() int // returns the exit status
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// runRole runs a role with the rights that it is deployed with, until it is ready.
func runRole(t *testing.T, c *kubetest.Cluster, manifest, name string, args ...string) *running {
	t.Helper()
	ns := &corev1.Namespace{}
	ns.Name = system
	if err := c.Client.Create(t.Context(), ns); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	r := &running{health: freeAddress(t), metrics: freeAddress(t)}
	args = append([]string{
		name, "--kubeconfig", c.AsDeployed(t, manifest, system, "mesh-"+name), "--namespace", system,
		"--health-address", r.health, "--metrics-address", r.metrics,
	}, args...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, io.Discard, &r.log) }()
	status := -1
	r.stop = func() int {
		if cancel(); status < 0 {
			select {
			case status = <-done:
			case <-time.After(time.Minute):
				t.Fatalf("%s does not stop", name)
			}
		}
		return status
	}
	t.Cleanup(func() { r.stop() })
	kubetest.Until(t, func(ctx context.Context) error {
		select {
		case status = <-done:
			t.Fatalf("%s ended with status %d: %s", name, status, r.log.String())
		default:
		}
		_, err := get(ctx, "http://"+r.health+"/readyz")
		return err
	})
	return r
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(ctx context.Context, url string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, answer.Status, body)
	}
	return string(body), err
}

// has checks the role's metrics.
func (r *running) has(t *testing.T, lines ...string) {
	t.Helper()
	text, err := get(t.Context(), "http://"+r.metrics+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range lines {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
}

func TestCARole(t *testing.T) {
	c := kubetest.Start(t)
	keys, _, ca := meshKeys(t)
	listen := freeAddress(t)
	r := runRole(t, c, "base/ca.yaml", "ca", "--root", filepath.Join(keys, "root.dsse.json"), "--certificate", filepath.Join(keys, "ca.crt"),
		"--key", filepath.Join(keys, "ca.key"), "--listen", listen, "--server-name", "mesh-ca.mesh-system.svc",
		"--serving", system+"/mesh-deliver=mesh-deliver.mesh-system.svc")
	c.Token(t, kubetest.TokenRequest{Namespace: system, ServiceAccount: "mesh-deliver"}) // makes the account
	c.RunPod(t, kubetest.Pod{Namespace: system, Name: "deliver-0", ServiceAccount: "mesh-deliver"})
	roots := x509.NewCertPool()
	roots.AddCert(ca.Root())
	serving := identity.NewIssued(identity.IssuedOptions{
		Issuer: listen, IssuerName: "mesh-ca.mesh-system.svc", Roots: roots, Log: slog.New(slog.DiscardHandler),
		TokenFile: c.TokenFile(t, kubetest.TokenRequest{Namespace: system, ServiceAccount: "mesh-deliver", Audience: kubernetes.AudienceCA, Pod: "deliver-0"}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { serving.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	kubetest.Until(t, func(context.Context) error {
		if !serving.Valid(time.Now()) {
			return errors.New("no serving certificate")
		}
		return nil
	})
	r.has(t, `mesh_ca_requests_total{code="OK"} 1`, "mesh_ca_root_expiry_timestamp_seconds ", "mesh_ca_request_seconds_count 1")
	if status := r.stop(); status != 0 {
		t.Errorf("it ended with status %d: %s", status, r.log.String())
	}
}

func TestSignRole(t *testing.T) {
	c := kubetest.Start(t)
	keys, root, ca := meshKeys(t)
	contents := "file://" + t.TempDir()
	r := runRole(t, c, "components/in-cluster-signing/sign.yaml", "sign", "--root", filepath.Join(keys, "root.dsse.json"),
		"--key", filepath.Join(keys, "release.key"), "--store", contents, "--state-dir", t.TempDir())
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	content := someRelease(t, string(ca.RootPEM()))
	s, err := store.Open(contents)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), content); err != nil {
		t.Fatal(err)
	}
	release := &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Sync: "mesh", Revision: "main", Content: store.Key(content).String()}}
	release.Namespace, release.Name = system, "mesh-1"
	if err := admin.Create(t.Context(), release); err != nil {
		t.Fatal(err)
	}
	kubetest.Until(t, func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(release), release); err != nil || release.Status.Signature == nil {
			return fmt.Errorf("%v, %+v", err, release.Status)
		}
		return nil
	})
	if _, _, err := sign.CheckRelease(root, content.WithEnvelope(release.Status.Signature.Envelope), time.Now()); err != nil {
		t.Error(err)
	}
	r.has(t, "mesh_sign_signatures_total 1", "mesh_sign_sequence 1", "mesh_sign_expiry_timestamp_seconds ")
	if status := r.stop(); status != 0 {
		t.Errorf("it ended with status %d: %s", status, r.log.String())
	}
}

// TestReconcileRole: what goes wrong is in the condition, in Kubernetes' events, in
// Flux's notifications and in Flux's metrics.
func TestReconcileRole(t *testing.T) {
	c := kubetest.Start(t)
	keys, _, _ := meshKeys(t)
	var told output
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(&told, r.Body) }))
	defer receiver.Close()
	r := runRole(t, c, "base/reconcile.yaml", "reconcile", "--root", filepath.Join(keys, "root.dsse.json"), "--store", "file://"+t.TempDir(),
		"--artifact-address", freeAddress(t), "--events-addr", receiver.URL)
	digest := artifact.DigestOf(nil).String()
	c.Apply(t, fmt.Sprintf(`{apiVersion: mesh-compile.dev/v1alpha1, kind: PolicySync, metadata: {name: mesh, namespace: mesh-system},
spec: {interval: 10m, timeout: 2s, release: {oci: {url: "oci://%s/release", digest: %q}}}}`, freeAddress(t), digest))
	t.Cleanup(func() { c.Kubectl(t, "-n", system, "delete", "policysync", "mesh") })
	kubetest.Until(t, func(context.Context) error {
		text := told.String()
		for _, want := range []string{`"reason":"FetchFailed"`, `"mesh-compile.dev/revision":"` + digest + `"`, `"severity":"error"`, `"kind":"PolicySync"`} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("notifications have no %s: %s", want, text)
			}
		}
		out, err := c.TryKubectl(t, "", "-n", system, "get", "events", "--field-selector", "involvedObject.kind=PolicySync")
		if err == nil && !strings.Contains(out, "FetchFailed") {
			err = fmt.Errorf("events are %s", out)
		}
		return err
	})
	r.has(t, `gotk_reconcile_duration_seconds_count{kind="PolicySync",name="mesh",namespace="mesh-system"} `)
	if status := r.stop(); status != 0 {
		t.Errorf("it ended with status %d: %s", status, r.log.String())
	}
}

func someRelease(t *testing.T, bundle string) *artifact.Release {
	t.Helper()
	b := artifact.NewBuilder(nil)
	b.AddLeaf(artifact.Leaf{SPIFFEID: "spiffe://mesh.example/ns/shop/sa/order", Workload: "shop/order", Kind: artifact.Tombstone, Sensitivity: artifact.Normal})
	b.Share(artifact.TrustBundle, []byte(bundle))
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a role cannot begin with, before it asks the API server for anything.
func TestRolesRefuse(t *testing.T) {
	keys, _, _ := meshKeys(t)
	other, _, _ := meshKeys(t)
	file := func(dir, name string) string { return filepath.Join(dir, name) }
	caArgs := func(edit ...string) []string {
		return append([]string{"ca", "--root", file(keys, "root.dsse.json"), "--certificate", file(keys, "ca.crt"), "--key", file(keys, "ca.key"), "--server-name", "ca"}, edit...)
	}
	signArgs := func(edit ...string) []string {
		return append([]string{"sign", "--root", file(keys, "root.dsse.json"), "--key", file(keys, "release.key"), "--store", "file:///store", "--state-dir", t.TempDir()}, edit...)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no flags":              {[]string{"ca"}, "required flag"},
		"another mesh's ca key": {caArgs("--key", file(other, "ca.key")), "the key is not the certificate's"},
		"no root":               {caArgs("--root", file(keys, "none")), "reading the root document"},
		"a wildcard":            {caArgs("--serving", "a/b=*.svc"), "neither a DNS name nor an address"},
		"a moment":              {caArgs("--certificate-ttl", "1s"), "want a minute at least"},
		"another mesh's key":    {signArgs("--key", file(other, "release.key")), "not among the release keys"},
		"no store":              {signArgs("--store", "/store"), "want file:///directory or oci://host/repository"},
		"no certificates":       {signArgs("--trust-bundle", file(keys, "root.dsse.json")), "it holds no certificate"},
	} {
		var out output
		if status := run(t.Context(), test.args, io.Discard, &out); status != exitUsage || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s: status %d, %s", name, status, out.String())
		}
	}
}
