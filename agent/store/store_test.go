package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/agent/store"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func record(name string) *store.Record {
	return &store.Record{Envelope: []byte(name), Leaf: []byte("leaf"), Index: 1, Proof: []artifact.Digest{{1}}}
}

func mark(n uint64) sign.State {
	return sign.State{Sequence: n, Release: artifact.DigestOf([]byte{byte(n)})}
}

func TestStateSurvives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	must(t, s.Begin(mark(1), record("one")))
	must(t, s.Commit())
	must(t, s.Begin(mark(2), record("two")))
	must(t, s.Commit())
	must(t, s.Begin(mark(3), record("three")))
	must(t, s.Abandon())
	must(t, s.Begin(mark(4), record("four")))
	want := s.State()
	s.Close()

	got := open(t, dir).State()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	if got.Mark.Sequence != 4 || string(got.Current.Envelope) != "two" || string(got.Previous.Envelope) != "one" || string(got.Next.Envelope) != "four" {
		t.Errorf("%+v", got)
	}
}

// TestDamagedStateIsRefused flips each byte and cuts at each length: an agent
// must not take any of them for an older mark or a new directory.
func TestDamagedStateIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	s := open(t, dir)
	must(t, s.Begin(mark(7), record("seven")))
	s.Close()
	name := filepath.Join(dir, "state")
	good, err := os.ReadFile(name)
	must(t, err)
	try := func(what string, at int, data []byte) {
		must(t, os.WriteFile(name, data, 0o600))
		if s, err := store.Open(dir); err == nil {
			s.Close()
			t.Errorf("%s at byte %d is taken", what, at)
		} else if !strings.Contains(err.Error(), "high-water mark") {
			t.Errorf("%s at byte %d: %v", what, at, err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		try("a flipped bit", i, bad)
		try("a cut", i, good[:i])
	}
	must(t, os.WriteFile(name, good, 0o600))
	if got := open(t, dir).State().Mark.Sequence; got != 7 {
		t.Errorf("mark %d, want 7", got)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	must(t, s.Begin(mark(1), record("one")))
	// The file's place is taken by a directory, as a full disk would refuse it.
	must(t, os.Remove(filepath.Join(dir, "state")))
	must(t, os.MkdirAll(filepath.Join(dir, "state", "x"), 0o700))
	if err := s.Begin(mark(2), record("two")); err == nil {
		t.Error("a mark that is not stored is taken")
	}
	if got := s.State().Mark.Sequence; got != 1 {
		t.Errorf("mark %d, want 1", got)
	}
}

func TestDirectoryIsPrivateAndLocked(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	open(t, dir)
	if _, err := store.Open(dir); err == nil || !strings.Contains(err.Error(), "another agent uses it") {
		t.Errorf("a second agent: %v", err)
	}
	shared := filepath.Join(t.TempDir(), "shared")
	must(t, os.Mkdir(shared, 0o755))
	if _, err := store.Open(shared); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a directory that others read: %v", err)
	}
	filepath.WalkDir(dir, func(path string, entry os.DirEntry, _ error) error {
		if info, err := entry.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
}

func TestSweepKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	a, b := []byte("a"), []byte("b")
	must(t, s.PutBlob(a))
	must(t, s.PutBlob(b))
	must(t, os.WriteFile(filepath.Join(dir, "blobs", ".new-1"), a, 0o600)) // from a crash
	must(t, s.Sweep(map[artifact.Digest]bool{artifact.DigestOf(a): true}))
	if got, ok := s.Blob(artifact.DigestOf(a)); !ok || string(got) != "a" {
		t.Error("a is gone")
	}
	if _, ok := s.Blob(artifact.DigestOf(b)); ok {
		t.Error("b is still there")
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "blobs")); len(entries) != 1 {
		t.Errorf("%d files, want 1", len(entries))
	}
}
