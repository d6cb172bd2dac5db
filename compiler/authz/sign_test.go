package authz

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

const keyID = "ci"

func rsaPEM(t *testing.T) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// orders lets order GET on port 8080.
func orders(t *testing.T) []byte {
	t.Helper()
	out, err := build(settings, &check.Workload{Inbound: []*check.Inbound{{
		Port: 8080, Protocol: mesh.HTTP, Access: check.Access{Allow: []*mesh.AccessRule{{
			ID:   "AccessPolicy/shop/payment/order",
			From: []mesh.Source{{ServiceAccounts: []mesh.AccountRef{{Namespace: "shop", Name: "order"}}}},
			To:   []mesh.Operation{{Methods: []mesh.StringMatch{{Value: "GET"}}}},
		}}},
	}}}, maxStatic)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStockOPAVerifies(t *testing.T) {
	t.Parallel()
	tools.Require(t, "opa")
	private, public := rsaPEM(t)
	signed, err := SignBundle(orders(t), private, keyID)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := SignBundle(orders(t), "a note\n"+private, keyID); !bytes.Equal(signed, again) {
		t.Error("signing twice gives other bytes")
	}
	if again, _ := SignBundle(signed, private, keyID); !bytes.Equal(signed, again) {
		t.Error("signing what is signed gives other bytes")
	}
	stranger, _ := rsaPEM(t)
	foreign, err := SignBundle(orders(t), stranger, keyID)
	if err != nil {
		t.Fatal(err)
	}
	for name, served := range map[string][]byte{
		"signed": signed, "unsigned": orders(t), "by another key": foreign, "changed": tampered(t, signed),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := runStockOPA(t, served, public)
			if name != "signed" {
				server.refuses(t)
				return
			}
			server.activates(t)
			order := probe{identity: identities[1], peer: "127.0.0.1", method: "GET", path: "/charges", host: "payment"}
			want := verdict{true, "AccessPolicy/shop/payment/order"}
			if got := server.decision(t, &order); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			catalog := order
			catalog.identity = identities[2]
			if got := server.decision(t, &catalog); got != (verdict{}) {
				t.Errorf("got %v, want a denial", got)
			}
		})
	}
}

// tampered is a bundle under its old signature that lets POST in as well.
func tampered(t *testing.T, signed []byte) []byte {
	t.Helper()
	b, err := bundle.NewReader(bytes.NewReader(signed)).WithSkipBundleVerification(true).Read()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Modules {
		b.Modules[i].Raw = bytes.ReplaceAll(b.Modules[i].Raw, []byte(`"GET"`), []byte(`"POST"`))
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	curve := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for key, want := range map[string]string{
		curve: "OPA needs RSA", "/etc/passwd": "no PEM",
		"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n": "reading the key",
	} {
		if _, err := SignBundle(orders(t), key, keyID); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	private, _ := rsaPEM(t)
	if _, err := SignBundle(orders(t), private, ""); err == nil {
		t.Error("a key without id is taken")
	}
}

// stockOPA is the released server, which downloads one bundle.
type stockOPA struct {
	url string
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func runStockOPA(t *testing.T, served []byte, public string) *stockOPA {
	t.Helper()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(served) //nolint:errcheck // the test notices
	}))
	t.Cleanup(files.Close)
	config, err := json.Marshal(map[string]any{
		"services": map[string]any{"files": map[string]any{"url": files.URL}},
		"keys":     map[string]any{keyID: map[string]any{"algorithm": "RS256", "key": public}},
		"bundles": map[string]any{"workload": map[string]any{
			"service": "files", "resource": "bundle.tar.gz", "signing": map[string]any{"keyid": keyID},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &stockOPA{url: "http://" + free(t), log: &lockedBuffer{}}
	cmd := exec.Command(tools.Require(t, "opa"), "run", "--server", "--disable-telemetry",
		"--addr", strings.TrimPrefix(s.url, "http://"), "--config-file", file)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // killed
	})
	return s
}

func (s *stockOPA) wait(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := envoytest.Until(ctx, check); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
}

func (s *stockOPA) activates(t *testing.T) {
	t.Helper()
	s.wait(t, func() error {
		resp, err := http.Get(s.url + "/health?bundles")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("health: %s", resp.Status)
		}
		return nil
	})
}

func (s *stockOPA) refuses(t *testing.T) {
	t.Helper()
	s.wait(t, func() error {
		if log := s.log.String(); !strings.Contains(log, "Bundle load failed") {
			return errors.New("the bundle is not refused")
		}
		return nil
	})
	s.wait(t, func() error {
		resp, err := http.Get(s.url + "/v1/data/mesh_compile")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); strings.TrimSpace(string(body)) != "{}" {
			return fmt.Errorf("it is loaded: %s", body)
		}
		return nil
	})
}

func (s *stockOPA) decision(t *testing.T, p *probe) verdict {
	t.Helper()
	body, err := json.Marshal(map[string]any{"input": p.input(8080)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.url+"/v1/data/mesh_compile/authz/decision", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Result verdict }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Result
}
