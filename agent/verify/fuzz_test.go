package verify_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// blobs is where an agent keeps blobs, in memory.
type blobs map[artifact.Digest][]byte

func (b blobs) Blob(d artifact.Digest) ([]byte, bool) {
	data, ok := b[d]
	return data, ok
}

func (b blobs) PutBlob(data []byte) error {
	b[artifact.DigestOf(data)] = data
	return nil
}

// FuzzReceive gives an agent whatever bytes a controller may send, and whatever
// blobs. It must never take anything but the one release that was signed.
func FuzzReceive(f *testing.F) {
	root, key, update, content := signed(f)
	good, err := proto.Marshal(update)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte{})
	f.Add(good, []byte("mesh-compile list 1\n"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, message, blob []byte) {
		u := &deliveryv1.Update{}
		if proto.Unmarshal(message, u) != nil {
			return
		}
		verifier := sign.NewVerifier(root, sign.Self{SPIFFEID: key.SPIFFEID, Workload: key.Workload})
		fetch := func(_ context.Context, digests []artifact.Digest, each func([]byte) error) error {
			for _, d := range digests {
				data := content[d]
				if len(blob) > 0 {
					data = blob
				}
				if err := each(data); err != nil {
					return err
				}
			}
			return nil
		}
		r, err := verify.Receive(t.Context(), verifier, u, sign.State{}, today, blobs{}, fetch)
		if err != nil {
			if sign.CodeOf(err) == "" {
				t.Errorf("no code: %v", err)
			}
			return
		}
		if !bytes.Equal(r.Record.Leaf, update.GetLeaf()) || len(blob) > 0 {
			t.Errorf("took %v", r.Leaf)
		}
	})
}

var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func releaseSigner(t testing.TB) *sign.Signer {
	t.Helper()
	s, err := sign.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(t testing.TB) (*sign.TrustedRoot, artifact.Key, *deliveryv1.Update, map[artifact.Digest][]byte) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Always the same keys and times: a fuzzer's workers share what they find.
	signer, err := sign.NewSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "test")
	fatal(err)
	document, err := sign.SignRoot(sign.NewRoot("test", "a", today.Add(time.Hour), signer.Key(), releaseSigner(t).Key()), signer)
	fatal(err)
	root, err := sign.OpenRoot(document)
	fatal(err)
	b := artifact.NewBuilder(nil)
	limits, err := artifact.Constraints{}.Encode()
	fatal(err)
	policy, err := artifact.AgentPolicy{Engine: artifact.EngineRBAC, Capture: artifact.CaptureNone}.Encode()
	fatal(err)
	key := artifact.Key{SPIFFEID: "spiffe://a/b", Workload: "shop/catalog"}
	b.AddLeaf(artifact.Leaf{SPIFFEID: key.SPIFFEID, Workload: key.Workload, Kind: artifact.Live, Sensitivity: artifact.Normal,
		Slice: b.AddSlice(), Constraints: b.AddBlob(limits), AgentPolicy: b.AddBlob(policy)})
	release, err := b.Build()
	fatal(err)
	doc := sign.Describe(release)
	doc.MeshID, doc.Sequence = "test", 1
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(today), sign.At(today), sign.At(today.Add(time.Hour))
	envelope, err := sign.SignRelease(doc, releaseSigner(t))
	fatal(err)
	view, err := release.View(key)
	fatal(err)
	content := map[artifact.Digest][]byte{}
	for _, d := range view.Blobs {
		content[d], _ = release.Blob(d)
	}
	return root, key, &deliveryv1.Update{Envelope: envelope, Leaf: view.Leaf.Encode(), Index: uint64(view.Index)}, content
}
