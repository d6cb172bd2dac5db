package compiler_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// edited returns the small repository with text replaced in one file.
func edited(file, old, now string) fstest.MapFS {
	files := maps.Clone(repository(6, false))
	text := string(files[file].Data)
	if !strings.Contains(text, old) {
		panic(file + " has no " + old)
	}
	files[file] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, old, now))}
	return files
}

// find returns the first finding of a code.
func find(t *testing.T, found diag.List, code diag.Code) *diag.Diagnostic {
	t.Helper()
	i := slices.IndexFunc(found, func(d diag.Diagnostic) bool { return d.Code == code })
	if i < 0 {
		t.Fatalf("no finding %q in %v", code, found)
	}
	return &found[i]
}

func TestError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files fstest.MapFS
		code  diag.Code
	}{
		"load":    {edited("services/s0001.yaml", "methods: [GET]", "methods: [GET"), "yaml"},
		"schema":  {edited("services/s0001.yaml", "timeout: 800ms", "timeout: soon"), "schema"},
		"check":   {edited("services/s0001.yaml", "version: v1, weight", "version: v9, weight"), "unknownversion"},
		"analyze": {edited("services/s0001.yaml", "prefix: /api/3", "prefix: /api/2"), "routeshadow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, diags := compiler.Compile(test.files, compiler.Options{})
			if d := find(t, diags, test.code); d.Severity != diag.Error || d.Span.File != "services/s0001.yaml" || !d.Span.IsValid() {
				t.Errorf("finding %v at %s, want an error in services/s0001.yaml", d.Severity, d.Span)
			}
			if result.Release != nil {
				t.Error("a release in spite of an error")
			}
			if result.Mesh == nil || len(result.Mesh.Workloads()) == 0 {
				t.Error("no mesh: later stages did not see the other documents")
			}
		})
	}
}

func TestLintOnly(t *testing.T) {
	t.Parallel()
	var stages []string
	result, diags := compiler.Compile(repository(6, false), compiler.Options{
		LintOnly: true, Stage: func(name string) { stages = append(stages, name) },
	})
	if len(diags) > 0 || result.Release != nil {
		t.Errorf("release %v, findings %v, want neither", result.Release, diags)
	}
	if diff := cmp.Diff([]string{"load", "translate", "check", "analyze", ""}, stages); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	full, _ := compiler.Compile(repository(6, false), compiler.Options{Previous: result})
	if full.Release == nil {
		t.Error("no release after a run that only linted")
	}
}

// oversized is a shared blob that no release may hold: input that no stage
// before the last one looks at.
var oversized = sync.OnceValue(func() string { return strings.Repeat("x", 64<<20+1) })

func TestInternalError(t *testing.T) {
	t.Parallel()
	result, diags := compiler.Compile(repository(6, false), compiler.Options{TrustBundle: oversized()})
	d := find(t, diags, compiler.CodeInternal)
	if result.Release != nil || d.Severity != diag.Critical || !strings.Contains(d.Message, "trust-bundle") {
		t.Errorf("release %v, finding %v, want none and a critical one about the trust bundle", result.Release, d)
	}
	again, diags := compiler.Compile(repository(6, false), compiler.Options{Previous: result})
	cold, _ := compiler.Compile(repository(6, false), compiler.Options{})
	if again.Release == nil || again.Release.Digest() != cold.Release.Digest() {
		t.Errorf("what the failed run left changes the next one: %v", diags)
	}
}

// TestWaiver: analyzers' findings and warnings can be accepted, what has no
// meaning and critical findings cannot.
func TestWaiver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files fstest.MapFS
		opt   compiler.Options
		code  diag.Code
		want  bool
	}{
		"analyzer": {edited("services/s0001.yaml", "prefix: /api/3", "prefix: /api/2"), compiler.Options{}, "routeshadow", true},
		"warning":  {edited("services/s0001.yaml", "spec:\n  service: s0001\n  allow", "spec:\n  workload: none\n  allow"), compiler.Options{}, "selectsnothing", true},
		"check":    {edited("services/s0001.yaml", "version: v1, weight", "version: v9, weight"), compiler.Options{}, "unknownversion", false},
		"critical": {repository(6, false), compiler.Options{TrustBundle: oversized()}, compiler.CodeInternal, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := compiler.Compile(test.files, test.opt)
			find(t, diags, test.code)
			for i, d := range diags {
				test.files[fmt.Sprintf("waivers/%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `apiVersion: mesh-compile.dev/v1alpha1
kind: Waiver
metadata: {name: w%d, namespace: bench}
spec: {fingerprint: %q, reason: a test, owner: team, expires: "2030-01-01T00:00:00Z"}
`, i, d.Fingerprint())}
			}
			result, diags := compiler.Compile(test.files, test.opt)
			if d := find(t, diags, test.code); d.Waived != test.want || (result.Release != nil) != test.want {
				t.Errorf("waived %v, release %v, want %v: %v", d.Waived, result.Release != nil, test.want, diags)
			}
		})
	}
}
