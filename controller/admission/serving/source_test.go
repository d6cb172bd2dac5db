package serving_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/admission/serving"
)

const host = "mesh-admit.mesh-system.svc"

// TestSelf: leaves change under one root, and roots half way of their life.
func TestSelf(t *testing.T) {
	self := serving.NewSelf(host, 10*time.Hour, time.Hour)
	now := time.Now()
	first, err := self.Pair(now)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := self.Pair(now.Add(4 * time.Hour)); err != nil || again.Roots != first.Roots {
		t.Errorf("another root after 4 of 10 hours: %v", err)
	}
	if next, err := self.Pair(now.Add(5 * time.Hour)); err != nil || next.Roots == first.Roots {
		t.Errorf("the same root after 5 of 10 hours: %v", err)
	}
}

// TestDirectory takes what clients will take, and nothing else.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	source := serving.NewDirectory(dir, host)
	if _, err := source.Pair(time.Now()); err == nil {
		t.Error("there is a certificate in an empty directory")
	}
	one := bring(t, dir, host)
	if p, err := source.Pair(time.Now()); err != nil || p.Roots != one {
		t.Errorf("roots are %q: %v", p.Roots, err)
	}
	two := bring(t, dir, host)
	if p, err := source.Pair(time.Now()); err != nil || p.Roots != two || one == two {
		t.Errorf("after a change roots are %q: %v", p.Roots, err)
	}
	write(t, dir, "ca.crt", one)
	if _, err := source.Pair(time.Now()); err == nil {
		t.Error("a root that is not the certificate's is taken")
	}
	bring(t, dir, "another.mesh-system.svc")
	if _, err := source.Pair(time.Now()); err == nil {
		t.Error("another server's certificate is taken")
	}
}

// bring writes a certificate as a mounted Secret has it, and returns its roots.
func bring(t *testing.T, dir, name string) (roots string) {
	t.Helper()
	p, err := serving.NewSelf(name, time.Hour, time.Minute).Pair(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(p.Certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Certificate[0]})))
	write(t, dir, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	write(t, dir, "ca.crt", p.Roots)
	return p.Roots
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
