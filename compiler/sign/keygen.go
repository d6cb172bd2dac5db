package sign

import (
	"fmt"
	"time"
)

// KeygenOptions say what a new mesh is called and how long its root lasts.
type KeygenOptions struct {
	MeshID      string
	TrustDomain string
	ExpiresAt   time.Time
	Alg         Alg      // Ed25519 when empty
	ServerRoots []string // PEM certificates, see [Root]
}

// Keys are the beginning of a mesh: one key for the root, which is then put
// away, one for releases, and the root document that says so.
type Keys struct {
	Root     *Signer
	Release  *Signer
	Document []byte // root.dsse.json
}

// Keygen makes the keys and the root document of a new mesh.
func Keygen(o KeygenOptions) (*Keys, error) {
	if o.Alg == "" {
		o.Alg = Ed25519
	}
	root, err := GenerateKey(o.Alg, "root")
	if err != nil {
		return nil, err
	}
	release, err := GenerateKey(o.Alg, "release")
	if err != nil {
		return nil, err
	}
	doc := NewRoot(o.MeshID, o.TrustDomain, o.ExpiresAt, root.Key(), release.Key())
	doc.ServerRoots = append(doc.ServerRoots, o.ServerRoots...)
	envelope, err := SignRoot(doc, root)
	if err != nil {
		return nil, fmt.Errorf("making a root for mesh %q: %w", o.MeshID, err)
	}
	return &Keys{Root: root, Release: release, Document: envelope}, nil
}
