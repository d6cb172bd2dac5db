// Package tools finds the real programs that tests and the demo start: Envoy, OPA and others that
// `make tools` installs. In goes a program's name, out comes the path of its binary. It installs and
// starts nothing.
package tools

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// T is the part of testing.TB that Require uses, so that programs can import this package without
// the testing package.
type T interface {
	Helper()
	Skip(args ...any)
	Fatal(args ...any)
}

// Find returns the binary of a program: what the environment variable of its name in upper case
// says (ENVOY for envoy), else .tools/bin of this module, else PATH.
func Find(name string) (string, error) {
	variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if path := os.Getenv(variable); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("finding %s by $%s: %w", name, variable, err)
		}
		return filepath.Abs(found)
	}
	if root, err := ModuleRoot(); err == nil {
		if found, err := exec.LookPath(filepath.Join(root, ".tools", "bin", name)); err == nil {
			return found, nil
		}
	}
	if found, err := exec.LookPath(name); err == nil {
		return filepath.Abs(found)
	}
	return "", fmt.Errorf("finding %s: %w: neither $%s nor .tools/bin nor PATH has it; run make tools",
		name, errMissing, variable)
}

var errMissing = errors.New("not installed")

// Require is Find for a test: it skips the test when the program is not installed, and fails it
// under CI, where a skip would hide a regression.
func Require(t T, name string) string {
	t.Helper()
	path, err := Find(name)
	switch {
	case err == nil:
	case errors.Is(err, errMissing) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return path
}

// ModuleRoot returns the nearest directory at or above the working directory with a go.mod.
func ModuleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("finding the module root: no go.mod at or above %s", start)
		}
	}
}
