package envoy

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/mod/semver"
)

// Version asks the program at path for its version, such as "1.40.0".
func Version(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, err)
	}
	_, version, ok := strings.Cut(string(out), "version: ")
	if !ok {
		return "", fmt.Errorf("asking %s for its version: got %.100q", path, out)
	}
	return parseVersion(strings.TrimSpace(version))
}

// CheckVersion refuses an Envoy that is older than a release demands. An empty
// minimum demands nothing.
func CheckVersion(have, minimum string) error {
	if minimum == "" {
		return nil
	}
	if !semver.IsValid("v" + minimum) {
		return fmt.Errorf("minimum envoy version %.40q is not a version", minimum)
	}
	if semver.Compare("v"+have, "v"+minimum) < 0 {
		return fmt.Errorf("envoy is version %s, the release demands %s or later", have, minimum)
	}
	return nil
}
