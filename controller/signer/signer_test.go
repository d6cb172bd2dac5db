package signer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// keys makes a mesh, after edit has changed its root document.
func keys(t *testing.T, edit func(*sign.Root)) (*sign.TrustedRoot, *sign.Signer) {
	t.Helper()
	made, err := sign.Keygen(sign.KeygenOptions{MeshID: "mesh", TrustDomain: "mesh.example", ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign.OpenRoot(made.Document)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		doc := root.Document()
		edit(&doc)
		envelope, err := sign.SignRoot(&doc, made.Root)
		if err != nil {
			t.Fatal(err)
		}
		if root, err = sign.OpenRoot(envelope); err != nil {
			t.Fatal(err)
		}
	}
	return root, made.Release
}

func release(t *testing.T) *artifact.Release {
	t.Helper()
	b := artifact.NewBuilder(nil)
	b.AddLeaf(artifact.Leaf{SPIFFEID: "spiffe://mesh.example/ns/shop/sa/order", Workload: "shop/order", Kind: artifact.Tombstone, Sensitivity: artifact.Normal})
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSign(t *testing.T) {
	root, key := keys(t, func(r *sign.Root) { r.MaxReleaseValidity = sign.SecondsOf(time.Hour); r.SequenceEpoch = 3 })
	s, err := New(root, key, filepath.Join(t.TempDir(), "sequence"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var last *Signed
	for _, step := range []struct {
		above, want uint64
		follows     bool
	}{{0, 1, false}, {0, 2, true}, {7, 8, false}, {3, 9, true}} {
		n, err := s.Next(step.above)
		if err != nil || n != step.want {
			t.Fatalf("above %d: %d and %v, want %d", step.above, n, err, step.want)
		}
		signed, err := s.Sign(release(t), n, Origin{Commit: "abc", Validity: 24 * time.Hour, Audience: sign.Audience{Environment: "test"}}, last, now)
		if err != nil {
			t.Fatal(err)
		}
		doc := signed.Doc
		if doc.Sequence != n || doc.SequenceEpoch != 3 || doc.MeshID != "mesh" || doc.Trust.TrustDomain != "mesh.example" ||
			doc.Source.Commit != "abc" || doc.Audience.Environment != "test" {
			t.Errorf("the document is %+v", doc)
		}
		if follows := !doc.PreviousReleaseDigest.IsZero(); follows != step.follows || follows && doc.PreviousReleaseDigest != last.Digest {
			t.Errorf("release %d follows %s", n, doc.PreviousReleaseDigest)
		}
		if got := doc.ExpiresAt.Sub(doc.NotBefore.Time); got != time.Hour {
			t.Errorf("it is valid for %s, the root allows an hour", got)
		}
		if got := RenewAt(doc).Sub(doc.NotBefore.Time); got != 30*time.Minute {
			t.Errorf("it is renewed after %s", got)
		}
		last = signed
	}
	if n, err := s.Next(maxSequence); err == nil {
		t.Errorf("number %d after the last", n)
	}
}

func TestLedger(t *testing.T) {
	root, key := keys(t, func(r *sign.Root) { r.SequenceEpoch = 3; r.MinReleaseSequence = 100 })
	open := func(content string) (*Signer, error) {
		file := filepath.Join(t.TempDir(), "sequence")
		if content != "" {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return New(root, key, file)
	}
	for content, want := range map[string]uint64{
		"":                                       100, // the root's floor
		`{"version":1,"epoch":3,"sequence":7}`:   100,
		`{"version":1,"epoch":3,"sequence":200}`: 201,
		`{"version":1,"epoch":2,"sequence":200}`: 100, // numbers begin again in an epoch
	} {
		s, err := open(content)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.Next(0); n != want || err != nil {
			t.Errorf("%s: %d and %v, want %d", content, n, err, want)
		}
	}
	for _, content := range []string{"{", `{"version":1,"epoch":4,"sequence":7}`, "\x00\x00"} {
		if _, err := open(content); err == nil {
			t.Errorf("%q was taken for a ledger", content)
		}
	}
}

// A number that cannot be written down is not given out.
func TestNumberIsDurableFirst(t *testing.T) {
	root, key := keys(t, nil)
	dir := filepath.Join(t.TempDir(), "gone")
	s, err := New(root, key, filepath.Join(dir, "sequence"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Next(0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("number %d and %v", n, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Next(0); n != 1 || err != nil {
		t.Errorf("number %d and %v, want 1", n, err)
	}
	again, err := New(root, key, filepath.Join(dir, "sequence"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := again.Next(0); n != 2 || err != nil {
		t.Errorf("after a restart: number %d and %v, want 2", n, err)
	}
}

func TestKeyThatTheRootDoesNotName(t *testing.T) {
	root, _ := keys(t, nil)
	_, other := keys(t, nil)
	if _, err := New(root, other, filepath.Join(t.TempDir(), "sequence")); err == nil || !strings.Contains(err.Error(), "not among the release keys") {
		t.Errorf("error %v", err)
	}
}
