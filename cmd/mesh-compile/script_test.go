package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

var update = flag.Bool("update", false, "rewrite golden files and generated pages")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mesh-compile": main})
}

// TestScripts runs testdata/script. Each script is a session at a terminal, with
// the files that it needs; the environment names the example repository (SHOP).
func TestScripts(t *testing.T) {
	shop, err := filepath.Abs("../../testdata/repos/shop")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SHOP", shop)
			if path, err := envoytest.Find(); err == nil {
				env.Setenv("ENVOY", path)
			}
			for _, s := range [][2]string{
				{"GIT_CONFIG_GLOBAL", os.DevNull}, {"GIT_CONFIG_NOSYSTEM", "1"},
				{"GIT_AUTHOR_NAME", "Ada"}, {"GIT_AUTHOR_EMAIL", "ada@example.com"},
				{"GIT_COMMITTER_NAME", "Ada"}, {"GIT_COMMITTER_EMAIL", "ada@example.com"},
			} {
				env.Setenv(s[0], s[1])
			}
			return nil
		},
		Condition: condition,
		Cmds:      commands,
	})
}

// condition knows [envoy]: the real one is installed.
func condition(name string) (bool, error) {
	if name != "envoy" {
		return false, fmt.Errorf("unknown condition [%s]", name)
	}
	_, err := envoytest.Find()
	return err == nil, nil
}
