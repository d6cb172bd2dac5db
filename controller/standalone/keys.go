package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/durable"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// keys are those that keygen makes, but the root's own, which only its owner
// needs.
type keys struct {
	root    *sign.TrustedRoot
	release *sign.Signer
	ca      *identity.CA
}

const (
	rootFile       = "root.dsse.json"
	rootKeyFile    = "root.key"
	releaseKeyFile = "release.key"
	caFile         = "ca.crt"
	caKeyFile      = "ca.key"
	// keysValidity is that of keygen's default.
	keysValidity = 365 * 24 * time.Hour
)

func loadKeys(dir string) (keys, error) {
	var k keys
	envelope, err := os.ReadFile(filepath.Join(dir, rootFile))
	if err != nil {
		return k, fmt.Errorf("reading the root document: %w", err)
	}
	if k.root, err = sign.OpenRoot(envelope); err != nil {
		return k, err
	}
	if k.release, err = sign.LoadPrivateKey(filepath.Join(dir, releaseKeyFile), "release"); err != nil {
		return k, err
	}
	if k.ca, err = identity.LoadCA(filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)); err != nil {
		return k, err
	}
	return k, k.check(dir)
}

// check finds keys that do not belong together, before an agent does.
func (k keys) check(dir string) error {
	doc := k.root.Document()
	if domain := k.ca.TrustDomain().Name(); domain != doc.TrustDomain {
		return fmt.Errorf("%s: %s is of trust domain %q, %s of %q", dir, rootFile, doc.TrustDomain, caFile, domain)
	}
	if err := signer.CheckKey(k.root, k.release); err != nil {
		return fmt.Errorf("%s: %s does not go with %s: %w", dir, releaseKeyFile, rootFile, err)
	}
	return nil
}

// haveKeys reports whether there are keys, so that none are ever made over them.
func haveKeys(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// makeKeys makes the keys of a new mesh, as keygen does. They appear together:
// they are written beside dir, and renamed.
func makeKeys(dir, meshID, trustDomain string) error {
	expires := time.Now().Add(keysValidity).UTC().Truncate(time.Second)
	ca, err := identity.NewCA(trustDomain, expires)
	if err != nil {
		return err
	}
	made, err := sign.Keygen(sign.KeygenOptions{
		MeshID: meshID, TrustDomain: trustDomain, ExpiresAt: expires, ServerRoots: []string{string(ca.RootPEM())},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".keys-") // mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // nothing is there after the rename
	err = errors.Join(
		made.Root.WritePrivateKey(filepath.Join(temp, rootKeyFile)),
		made.Release.WritePrivateKey(filepath.Join(temp, releaseKeyFile)),
		ca.WritePrivateKey(filepath.Join(temp, caKeyFile)),
		durable.ReplaceFile(filepath.Join(temp, caFile), ca.RootPEM(), 0o644),
		durable.ReplaceFile(filepath.Join(temp, rootFile), made.Document, 0o644),
	)
	if err != nil {
		return err
	}
	return os.Rename(temp, dir)
}
