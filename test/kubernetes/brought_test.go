package kubernetes

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/admission/serving"
)

// brought: a certificate that somebody else renews is used, and its root written.
func (w *world) brought() {
	w.cluster.Kubectl(w.t, "-n", system, "patch", "deployment", "mesh-admit", "--type=json", "-p", `[
		{"op": "add", "path": "/spec/template/spec/volumes/-", "value": {"name": "certificate", "persistentVolumeClaim": {"claimName": "brought"}}},
		{"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts/-", "value": {"name": "certificate", "mountPath": "/certificate"}}]`)
	dir := w.node.Claim(system, "brought")
	w.must(os.MkdirAll(dir, 0o700))
	w.bring(dir)
	w.admit("--cert-dir=/certificate", "--settle=1s")
	w.policy("Fail")
	w.unharmed(func() {
		root := w.bring(dir)
		w.until(func(context.Context) error {
			if b := w.bundle(); !slices.Contains(b, root) || len(strings.Join(b, "")) != len(root) {
				return errors.New("the bundle is not the new root alone")
			}
			return nil
		})
		w.webhookRefuses()
	})
}

// bring writes a certificate as cert-manager does, and returns its root.
func (w *world) bring(dir string) (root string) {
	w.t.Helper()
	p, err := serving.NewSelf("mesh-admit."+system+".svc", time.Hour, 10*time.Minute).Pair(time.Now())
	w.must(err)
	key, err := x509.MarshalPKCS8PrivateKey(p.Certificate.PrivateKey)
	w.must(err)
	for name, text := range map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Certificate[0]}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"ca.crt":  []byte(p.Roots),
	} {
		w.must(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return p.Roots
}
