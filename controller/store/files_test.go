package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// With these in its environment the test binary puts the second release into a
// directory, keeps it alone, and is gone at the step of that number.
const (
	dieIn = "STORE_DIE_IN"
	dieAt = "STORE_DIE_AT"
)

const exitDied = 17

func TestMain(m *testing.M) {
	if dir := os.Getenv(dieIn); dir != "" {
		die(dir)
	}
	os.Exit(m.Run())
}

func die(dir string) {
	left, err := strconv.Atoi(os.Getenv(dieAt))
	if err != nil {
		panic(err)
	}
	s := openFiles(dir)
	s.step = func(string) {
		if left--; left < 0 {
			os.Exit(exitDied) // no deferred call runs
		}
	}
	_, two := twoReleases(&testing.T{})
	if err := errors.Join(s.Put(context.Background(), two), s.Keep(context.Background(), []artifact.Digest{Key(two)})); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func twoReleases(t testing.TB) (one, two *artifact.Release) {
	one = mesh(t, nil, 3, -1, "")
	return one, mesh(t, one, 3, 1, "two")
}

// A process that is killed at any step leaves a store in which every content is
// whole or not there, and which the next process goes on with.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	one, two := twoReleases(t)
	for at := 0; ; at++ {
		dir := t.TempDir()
		ctx := t.Context()
		if err := openFiles(dir).Put(ctx, one); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), dieIn+"="+dir, fmt.Sprintf("%s=%d", dieAt, at))
		out, err := cmd.CombinedOutput()
		if err == nil {
			if at < 15 {
				t.Errorf("only %d steps", at)
			}
			return
		}
		if cmd.ProcessState.ExitCode() != exitDied {
			t.Fatalf("step %d: %v\n%s", at, err, out)
		}
		for _, want := range []*artifact.Release{one, two} {
			got, err := openFiles(dir).Get(ctx, Key(want), nil)
			if err == nil {
				same(t, got, want)
			} else if !errors.Is(err, ErrNotFound) {
				t.Fatalf("killed at step %d: %v", at, err)
			}
		}
		next := openFiles(dir)
		if err := errors.Join(next.Put(ctx, two), next.Keep(ctx, []artifact.Digest{Key(two)})); err != nil {
			t.Fatalf("after a kill at step %d: %v", at, err)
		}
		got, err := openFiles(dir).Get(ctx, Key(two), nil)
		if err != nil {
			t.Fatalf("after a kill at step %d: %v", at, err)
		}
		same(t, got, two)
		if n := countFiles(t, dir); n != two.Len()+3 { // its blobs, manifest, generation, lock
			t.Errorf("after a kill at step %d: %d files are left, want %d", at, n, two.Len()+3)
		}
	}
}

func countFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Every file of a content, bent, cut, grown or gone: Get refuses, and a process
// that puts the content again mends it.
func TestCorrupted(t *testing.T) {
	t.Parallel()
	r, _ := twoReleases(t)
	dir := t.TempDir()
	if err := openFiles(dir).Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	faults := map[string]func(name string, data []byte) error{
		"bent":  func(name string, data []byte) error { data[len(data)/2] ^= 1; return os.WriteFile(name, data, 0o644) },
		"cut":   func(name string, data []byte) error { return os.WriteFile(name, data[:len(data)/2], 0o644) },
		"grown": func(name string, data []byte) error { return os.WriteFile(name, append(data, 'x'), 0o644) },
		"gone":  func(name string, _ []byte) error { return os.Remove(name) },
	}
	for _, sub := range []string{"manifests", "blobs"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			for fault, spoil := range faults {
				name := filepath.Join(dir, sub, e.Name())
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := spoil(name, data); err != nil {
					t.Fatal(err)
				}
				if _, err := openFiles(dir).Get(t.Context(), Key(r), nil); err == nil || fault != "gone" && !strings.Contains(err.Error(), "digest") {
					t.Errorf("%s/%s %s: %v", sub, e.Name(), fault, err)
				}
				if err := openFiles(dir).Put(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				if _, err := openFiles(dir).Get(t.Context(), Key(r), nil); err != nil {
					t.Errorf("%s/%s %s, and put again: %v", sub, e.Name(), fault, err)
				}
			}
		}
	}
}

// Nothing is removed where what is to be kept cannot be read.
func TestKeepOfCorrupted(t *testing.T) {
	t.Parallel()
	one, two := twoReleases(t)
	dir := t.TempDir()
	if err := errors.Join(openFiles(dir).Put(t.Context(), one), openFiles(dir).Put(t.Context(), two)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(openFiles(dir).manifest(Key(one)), []byte("bent"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := openFiles(dir).Keep(t.Context(), []artifact.Digest{Key(one)}); err == nil {
		t.Error("content was removed beside one that cannot be read")
	}
	if _, err := openFiles(dir).Get(t.Context(), Key(two), nil); err != nil {
		t.Error(err)
	}
}

func TestFileLimits(t *testing.T) {
	t.Parallel()
	r, _ := twoReleases(t)
	s := openFiles(t.TempDir())
	if err := s.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for name, limits := range map[string]artifact.Limits{
		"manifest": {Files: 1 << 20, Blob: 1 << 20, Index: 100, Total: 1 << 30},
		"blob":     {Files: 1 << 20, Blob: 100, Index: 1 << 20, Total: 1 << 30},
		"files":    {Files: 3, Blob: 1 << 20, Index: 1 << 20, Total: 1 << 30},
		"total":    {Files: 1 << 20, Blob: 1 << 20, Index: 1 << 20, Total: 3000},
	} {
		small := openFiles(s.dir)
		small.limits = limits
		if _, err := small.Get(t.Context(), Key(r), nil); err == nil {
			t.Errorf("%s: more was read than is allowed", name)
		}
	}
}

// A caller does not wait for a lock longer than its context lasts, and one who
// waits after it still gets the lock.
func TestLockIsWaitedForWithinTheContext(t *testing.T) {
	t.Parallel()
	r, _ := twoReleases(t)
	// Who gave up waiting may look at the directory a moment longer than the test.
	dir, err := os.MkdirTemp("", "mesh-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := openFiles(dir)
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- openFiles(s.dir).Put(ctx, r) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Put returned %v", err)
	}
	unlock()
	if err := s.Put(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// A reader makes nothing: its volume may be mounted for reading alone.
func TestReaderMakesNothing(t *testing.T) {
	t.Parallel()
	r, _ := twoReleases(t)
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := openFiles(dir).Get(t.Context(), Key(r), nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reader made %s: %v", dir, err)
	}
}
