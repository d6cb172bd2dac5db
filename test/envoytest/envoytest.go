// Package envoytest runs the real Envoy for tests, the demo and `mesh-compile test --envoy`. In go a
// bootstrap as JSON and requests as a caller sends them; out come Envoy's own verdict on the
// configuration, its admin answers, and what an upstream really received. It never makes Envoy
// configuration: it adds nothing to a bootstrap but an admin address.
package envoytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

// T is the part of testing.TB that the helpers of this package use.
type T interface {
	tools.T
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Context() context.Context
}

// Find returns the Envoy binary: $ENVOY, .tools/bin/envoy of this module, or envoy in PATH.
func Find() (string, error) { return tools.Find("envoy") }

// Require is Find for a test: without Envoy the test is skipped, and under CI it fails.
func Require(t T) string {
	t.Helper()
	return tools.Require(t, "envoy")
}

// validateTimeout is far above the 1.25 s that a thousand routes take.
const validateTimeout = time.Minute

// Validate asks `envoy --mode validate` about a bootstrap. The error carries Envoy's own words.
// Envoy looks at nothing that the bootstrap only names: inline routes, clusters and certificates.
func Validate(ctx context.Context, bootstrap []byte) error {
	path, err := Find()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "envoy-validate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, validateTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--mode", "validate", "--config-path", file,
		"--disable-hot-restart", "--log-level", "error", "--log-format", "%v")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = dieWithParent()
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("validating with envoy: %w", ctx.Err())
	}
	if exit := new(exec.ExitError); !errors.As(err, &exit) {
		return fmt.Errorf("validating with envoy: %w", err)
	}
	words := strings.TrimSpace(strings.ReplaceAll(output.String(), dir+"/", ""))
	return fmt.Errorf("envoy refuses the configuration: %s", words)
}

// Until calls check until it returns nil. When ctx ends first, the error is check's last one.
func Until(ctx context.Context, check func() error) error {
	const pause = 10 * time.Millisecond
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, while waiting: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
