package compiler_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/policytest"
)

// policyBlock is a fenced block that is marked as policy: "```yaml policy".
var policyBlock = regexp.MustCompile("(?sm)^```(yaml|cue) policy\n(.*?)^```")

// TestDocs compiles the policies of each page of the documentation as one
// repository, without a finding, and runs their PolicyTests.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, name := range pages {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := policiesOf(string(page))
		if blocks += len(files); len(files) == 0 {
			continue
		}
		result, diags := compiler.Compile(files, compiler.Options{})
		if s, found := diags.Max(); found && s > diag.Info {
			t.Errorf("%s, by block and line in it:\n%s", name, text(diags))
			continue
		}
		for _, r := range policytest.Run(result.Mesh) {
			if !r.Passed() {
				t.Errorf("%s: case %q: %v", name, r.Case.Name, r.Failures)
			}
		}
	}
	if blocks < 5 {
		t.Errorf("only %d blocks are marked as policy in %v", blocks, pages)
	}
}

func policiesOf(markdown string) fstest.MapFS {
	files := fstest.MapFS{}
	for i, block := range policyBlock.FindAllStringSubmatch(markdown, -1) {
		files[fmt.Sprintf("block%d.%s", i+1, block[1])] = &fstest.MapFile{Data: []byte(block[2])}
	}
	return files
}

// TestDocsLinks follows the links between pages.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}
