// Package readme runs the tour of README.md as a reader would, and compares what
// it prints.
package readme

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// step is one "$ command" of a console block, with the output below it.
type step struct {
	line          int
	command, want string
}

func TestTour(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs; left out by -short")
	}
	envoytest.Require(t)
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Join(root, "tour")) })
	steps := read(t, filepath.Join(root, "README.md"))
	if len(steps) < 10 {
		t.Fatalf("found %d commands in the tour: the test does not see them", len(steps))
	}
	for _, s := range steps {
		got := run(t, root, s.command)
		if strings.HasPrefix(s.command, "make ") {
			continue // the output is the machine's
		}
		if !matches(s.want, got) {
			t.Errorf("README.md:%d: $ %s\n%s", s.line, s.command, cmp.Diff(s.want, got))
		}
	}
}

func read(t *testing.T, name string) []step {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	inside := false
	for n, line := range strings.Split(string(data), "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case isCommand:
			steps = append(steps, step{line: n + 1, command: command})
		case len(steps) > 0:
			steps[len(steps)-1].want += line + "\n"
		}
	}
	return steps
}

// run executes a command as a shell would show it: both streams, and the exit
// status where it is not 0.
func run(t *testing.T, dir, command string) string {
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out) + fmt.Sprintf("[exit status %d]\n", exit.ExitCode())
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// matches compares line by line; "..." stands for anything within a line.
func matches(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), regexp.QuoteMeta("..."), "[^\n]*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(got)
}
