package readme

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// TestRunning goes through docs/running.md in one shell, as its reader does: what
// one command starts is there for the next.
func TestRunning(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts the programs; left out by -short")
	}
	envoytest.Require(t)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	run(t, root, "make build")
	t.Cleanup(func() { os.RemoveAll(filepath.Join(root, "running")) })
	steps := read(t, filepath.Join(root, "docs", "running.md"))
	if len(steps) < 15 {
		t.Fatalf("found %d commands: the test does not see them", len(steps))
	}
	for i, got := range session(t, root, steps) {
		s := steps[i]
		if want := s.output(); !matches(want, got) {
			t.Errorf("docs/running.md:%d: $ %s\n%s", s.line, s.command, cmp.Diff(want, got))
		}
	}
}

// document is a here document, which stands among a command's output.
var document = regexp.MustCompile(`(?s)^.*?\nEND\n`)

func (s *step) hasDocument() bool { return strings.HasSuffix(s.command, "<<'END'") }

func (s *step) output() string {
	if s.hasDocument() {
		return document.ReplaceAllString(s.want, "")
	}
	return s.want
}

func (s *step) script() string {
	if s.hasDocument() {
		return s.command + "\n" + document.FindString(s.want)
	}
	return s.command + "\n"
}

// session gives the steps to one shell and returns what each prints.
func session(t *testing.T, dir string, steps []step) []string {
	const mark = "--- next step ---\n"
	var script strings.Builder
	for i := range steps {
		fmt.Fprintf(&script, "%sprintf '%%s' '%s'\n", steps[i].script(), mark)
	}
	var out bytes.Buffer
	cmd := exec.Command("bash")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(script.String()), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Envoy has the agents' process group no longer, but ends with them.
	stop := time.AfterFunc(time.Minute, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
	err := cmd.Wait()
	if !stop.Stop() {
		t.Fatalf("not done after a minute: %s", out.String())
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	parts := strings.Split(out.String(), mark)
	return parts[:len(parts)-1]
}
