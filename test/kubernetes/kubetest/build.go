package kubetest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

var built struct {
	sync.Mutex
	programs map[string]error
}

// Build builds a package of this module, named as in ./cmd/mesh-agent, once for each test binary,
// and returns the path of the program.
func Build(t T, pkg string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	program := filepath.Join(os.TempDir(), "bin", path.Base(pkg))
	err, known := built.programs[program]
	if !known {
		if built.programs == nil {
			built.programs = map[string]error{}
		}
		err = build(pkg, program)
		built.programs[program] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func build(pkg, program string) error {
	root, err := tools.ModuleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, strings.TrimSpace(string(out)))
	}
	return nil
}
