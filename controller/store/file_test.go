package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

func TestFiles(t *testing.T) {
	for kind, url := range places(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, writer, reader := t.Context(), mustOpen(t, url), mustOpen(t, url)
			content := mesh(t, nil, 3, -1, "")
			if _, err := reader.File(ctx, artifact.DigestOf([]byte("one"))); !errors.Is(err, ErrNotFound) {
				t.Errorf("before anything was put: %v, want ErrNotFound", err)
			}
			var keys []artifact.Digest
			for _, text := range []string{"one", "two", "one", ""} {
				key, err := writer.PutFile(ctx, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, key)
				if got, err := reader.File(ctx, key); err != nil || string(got) != text {
					t.Errorf("%q came back as %q: %v", text, got, err)
				}
			}
			if err := writer.Put(ctx, content); err != nil {
				t.Fatal(err)
			}
			if err := writer.Keep(ctx, []artifact.Digest{keys[0], Key(content)}); err != nil {
				t.Fatal(err)
			}
			if got, err := reader.File(ctx, keys[0]); err != nil || string(got) != "one" {
				t.Errorf("the file that was kept is %q: %v", got, err)
			}
			if _, err := reader.Get(ctx, Key(content), nil); err != nil {
				t.Error(err)
			}
			if _, err := reader.File(ctx, keys[1]); !errors.Is(err, ErrNotFound) {
				t.Errorf("the file that was not kept: %v, want ErrNotFound", err)
			}
			if err := writer.Keep(ctx, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := reader.File(ctx, keys[0]); !errors.Is(err, ErrNotFound) {
				t.Errorf("the file is there after all was removed: %v", err)
			}
			if key, err := writer.PutFile(ctx, []byte("one")); err != nil || key != keys[0] {
				t.Errorf("put again: %s, %v", key, err)
			}
		})
	}
}

func TestFileThatWasChanged(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, "file://"+dir)
	key, err := s.PutFile(t.Context(), []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blobs", key.Hex()), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if data, err := s.File(t.Context(), key); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("it came back as %q: %v", data, err)
	}
	if _, err := s.PutFile(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	if data, err := s.File(t.Context(), key); err != nil || string(data) != "one" {
		t.Errorf("it was mended and came back as %q: %v", data, err)
	}
}
