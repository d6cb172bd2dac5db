package processes_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/processes"
)

// ownerVariable makes this test program the owner of a group: one that can be killed.
const ownerVariable = "PROCESSES_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) == "" {
		os.Exit(m.Run())
	}
	g, err := open(context.Background())
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(g.Dir)
	time.Sleep(time.Hour)
}

// open returns a group in which a program runs that has left another behind.
func open(ctx context.Context) (*processes.Group, error) {
	g, err := processes.Open(ctx, "./test/processes/testdata/leaver")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(g.Dir, "left")
	if _, err := g.Start("leaver", g.Dir, "leaver", file); err != nil {
		return g, err
	}
	return g, envoytest.Until(ctx, func() error {
		_, err := os.Stat(file)
		return err
	})
}

// TestNothingOutlivesAKilledOwner kills the owner of a group as the kernel does when memory is
// short. What it started, and what that started, must end, and the directory must go.
func TestNothingOutlivesAKilledOwner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which processes are whose")
	}
	t.Parallel()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"=1")
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(out).ReadString('\n')
	if dir = strings.TrimSpace(dir); err != nil || !filepath.IsAbs(dir) {
		t.Fatalf("the owner says %q, %v", dir, err)
	}
	if n := programs(dir); n["leaver"] != 2 || n["warden"] != 1 {
		t.Errorf("before: %v", n)
	}
	_ = owner.Process.Kill()
	_ = owner.Wait()
	gone(t, dir)
}

func TestNothingOutlivesClose(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which processes are whose")
	}
	t.Parallel()
	g, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Exited(); err != nil {
		t.Error(err)
	}
	if err := g.Close(false); err != nil { // the leaver ignores Ctrl-C
		t.Error(err)
	}
	gone(t, g.Dir)
}

// programs counts the processes of a scratch directory.
func programs(dir string) map[string]int {
	out := map[string]int{}
	for _, p := range processes.Find(dir) {
		out[p.Program]++
	}
	return out
}

func gone(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := envoytest.Until(ctx, func() error {
		if n := programs(dir); len(n) > 0 {
			return fmt.Errorf("processes are left: %v", n)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is still there: %v", dir, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
