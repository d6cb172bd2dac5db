package signing

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

const trustDomain = "mesh.example"

const signerValidity = signer.DefaultValidity

// testMesh is the keys of a mesh.
type testMesh struct {
	t       *testing.T
	keys    *sign.Keys
	root    *sign.TrustedRoot
	ca      *identity.CA
	signers int
}

func newMesh(t *testing.T) *testMesh {
	t.Helper()
	expires := time.Now().Add(365 * 24 * time.Hour)
	ca, err := identity.NewCA(trustDomain, expires)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sign.Keygen(sign.KeygenOptions{MeshID: "mesh", TrustDomain: trustDomain, ExpiresAt: expires, ServerRoots: []string{string(ca.RootPEM())}})
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign.OpenRoot(keys.Document)
	if err != nil {
		t.Fatal(err)
	}
	return &testMesh{t: t, keys: keys, root: root, ca: ca}
}

// next is the root document after an edit.
func (m *testMesh) next(t *testing.T, edit func(*sign.Root)) *sign.TrustedRoot {
	t.Helper()
	doc := m.root.Document()
	edit(&doc)
	doc.Version++
	envelope, err := sign.SignRoot(&doc, m.keys.Root)
	if err != nil {
		t.Fatal(err)
	}
	next, err := m.root.Next(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func (m *testMesh) limits() Limits {
	return Limits{TrustDomain: trustDomain, Roots: []*x509.Certificate{m.ca.Root()}}
}

// signer signs with the mesh's key, and remembers nothing of others.
func (m *testMesh) signer() *signer.Signer {
	m.t.Helper()
	m.signers++
	s, err := signer.New(m.root, m.keys.Release, filepath.Join(m.t.TempDir(), fmt.Sprint(m.signers)))
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// content is a release of one workload.
func content(t *testing.T, workload, id, bundle string) *artifact.Release {
	t.Helper()
	b := artifact.NewBuilder(nil)
	b.AddLeaf(artifact.Leaf{SPIFFEID: id, Workload: workload, Kind: artifact.Tombstone, Sensitivity: artifact.Normal})
	if bundle != "" {
		b.Share(artifact.TrustBundle, []byte(bundle))
	}
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// content is a release that this mesh's signer takes.
func (m *testMesh) content(workload string) *artifact.Release {
	return content(m.t, workload, "spiffe://"+trustDomain+"/ns/shop/sa/order", string(m.ca.RootPEM()))
}

func (m *testMesh) release(name string, second int) v1alpha1.Release {
	r := at(name, "mesh", second)
	r.Spec.Content = m.content(name).Digest().String()
	return r
}

// signed is a Release with a signature, as the status has it.
func (m *testMesh) signed(r v1alpha1.Release, sequence uint64, now time.Time) v1alpha1.Release {
	m.t.Helper()
	s, err := m.signer().Sign(m.content(r.Name), sequence, signer.Origin{}, nil, now)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Status.Signature = signatureOf(s)
	r.Status.Signature.Expires = metav1.NewTime(s.Doc.ExpiresAt.Time)
	return r
}

func TestLimits(t *testing.T) {
	m, other := newMesh(t), newMesh(t)
	mine, theirs := string(m.ca.RootPEM()), string(other.ca.RootPEM())
	id := "spiffe://" + trustDomain + "/ns/shop/sa/order"
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	both := Limits{TrustDomain: trustDomain, Roots: []*x509.Certificate{m.ca.Root(), other.ca.Root()}}
	tests := map[string]struct {
		limits     Limits
		id, bundle string
		ok         bool
	}{
		"its own":                {m.limits(), id, mine, true},
		"a root of somebody":     {m.limits(), id, mine + theirs, false},
		"only that root":         {m.limits(), id, theirs, false},
		"a root that was given":  {both, id, mine + theirs, true},
		"no root":                {m.limits(), id, "", false},
		"no certificate":         {m.limits(), id, "none", false},
		"a key":                  {m.limits(), id, mine + key, false},
		"any, where none is set": {Limits{TrustDomain: trustDomain}, id, "", true},
		"another trust domain":   {m.limits(), "spiffe://elsewhere.example/ns/shop/sa/order", mine, false},
		"one that begins alike":  {m.limits(), "spiffe://" + trustDomain + ".elsewhere/ns/shop/sa/order", mine, false},
	}
	for name, test := range tests {
		if err := test.limits.check(content(t, "shop/order", test.id, test.bundle)); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
