package argocd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

var console = regexp.MustCompile("(?s)```console\n(.*?)```")

// TestDocs runs the commands of docs/argocd.md and compares what they print on
// standard output, or where that is nothing, on standard error.
func TestDocs(t *testing.T) {
	kubectl := tools.Require(t, "kubectl")
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/argocd.md"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, block := range console.FindAllStringSubmatch(string(text), -1) {
		for step := range strings.SplitSeq("\n"+block[1], "\n$ ") {
			if strings.TrimSpace(step) == "" {
				continue
			}
			line, want, _ := strings.Cut(step, "\n")
			cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+filepath.Dir(kubectl)+":"+os.Getenv("PATH"))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run() // some refuse what they are given
			got := stdout.String()
			if got == "" {
				got = stderr.String()
			}
			if diff := cmp.Diff(strings.TrimRight(want, "\n"), strings.TrimRight(got, "\n")); diff != "" {
				t.Errorf("$ %s\n%s", line, diff)
			}
			ran++
		}
	}
	if ran < 4 {
		t.Errorf("only %d commands were found", ran)
	}
}
