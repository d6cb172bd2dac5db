package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/agent/files"
)

func TestNothingOutsideIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	if err := errors.Join(os.Mkdir(inside, 0o700), os.Mkdir(filepath.Join(inside, "a"), 0o700),
		os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("secret"), 0o600),
		os.Symlink(dir, filepath.Join(inside, "out")),
		os.WriteFile(filepath.Join(inside, "a", "ca.crt"), []byte("none"), 0o600),
		os.WriteFile(filepath.Join(inside, "a", "tls.crt"), []byte("none"), 0o600),
		os.WriteFile(filepath.Join(inside, "a", "tls.key"), []byte("PRIVATE WORDS"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for secret, says := range map[string]string{
		"ca/..": "names no file", "ca/../inside": "names no file", "certificate//etc": "names no file", "default": "names no file", "ca/": "names no file",
		"ca/out": "escapes", "ca/a": "has no certificate", "certificate/a": "do not go together", "ca/b": "no such file",
	} {
		_, err := files.Read(inside, secret)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: got %v, want %q", secret, err, says)
		}
	}
	if _, err := files.Read("", "ca/a"); err == nil || !strings.Contains(err.Error(), "no directory") {
		t.Errorf("without a directory: %v", err)
	}
}
