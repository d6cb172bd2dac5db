package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var console = regexp.MustCompile(`(?m)^\$ (?:.*\| )?mesh-compile (.*)$`)

// TestDocsCommands checks that every command line in the documentation is one:
// command, flags and number of arguments.
func TestDocsCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range console.FindAllStringSubmatch(string(text), -1) {
			found++
			line, _, _ := strings.Cut(m[1], " >")
			line, _, _ = strings.Cut(line, " | ")
			if err := parse(strings.Fields(line)); err != nil {
				t.Errorf("%s: mesh-compile %s: %v", name, m[1], err)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d command lines were found in %v", found, pages)
	}
}

// parse does what a command line goes through before its command runs.
func parse(args []string) error {
	cmd, rest, err := (&app{}).root().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	return cmd.ValidateRequiredFlags()
}
