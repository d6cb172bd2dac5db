// Package compiler turns a policy repository into a release.
//
// In: the files of one commit. Out: diagnostics, the checked mesh, and, where no
// error stands, a release with a slice for every workload. Compile is a function:
// no clock, randomness, environment, log or network. README.md walks the phases.
package compiler

import (
	"io/fs"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// Options of Compile. The zero value compiles everything.
type Options struct {
	// Namespace is for objects that name none; "default" where empty.
	Namespace string
	// Set gives values to placeholders, ${VAR} and $(VAR).
	Set map[string]string
	// AssumeExternal takes every unknown service for one that exists elsewhere.
	AssumeExternal bool
	// AsOf is the moment at which waivers and expiries are judged; the zero time
	// judges none. It affects diagnostics and never the bytes of the release.
	AsOf time.Time
	// Kept, where set, reports whether a file is as it was when it was accepted. What
	// expires in it is a warning then: it is in force already, and nothing changes by
	// the clock.
	Kept func(file string) bool
	// TrustBundle is the PEM X.509 roots of the mesh where the Mesh document
	// carries none.
	TrustBundle string
	// LintOnly stops before slices are generated.
	LintOnly bool
	// Previous is an earlier result of the same repository. What did not change is
	// taken over; the result is the same without it.
	Previous *Result
	// Stage, where set, is told the name of each stage as it begins, and "" at the
	// end: for progress and timing.
	Stage func(name string)
}

// Result of a compilation. It is immutable and may be handed to later runs as
// Options.Previous.
type Result struct {
	Files       *load.Result
	Mesh        *check.Mesh
	Release     *artifact.Release // nil where an error stands, or with LintOnly
	Diagnostics diag.List         // sorted, waivers applied

	translations
	analysis  *analyze.Cache
	generated *generated // never nil
}

// run is one compilation on its way through the stages.
type run struct {
	fsys      fs.FS
	opt       Options
	prev      *Result // never nil
	out       *Result
	malformed faults           // what load and translate refuse
	next      *generated       // what becomes out.generated with a release
	described chan description // what describe writes
	err       error            // a bug of ours: no input should cause it
}

// stages in order. A stage adds to the result and to its diagnostics, and the
// next runs whatever it found, up to generation, which needs a mesh without
// errors.
var stages = []struct {
	name string
	run  func(*run)
}{
	{"load", (*run).load},
	{"translate", (*run).translate},
	{"check", (*run).check},
	{"analyze", (*run).analyze},
	{"generate", (*run).generate},
	{"assemble", (*run).assemble},
}

// CodeInternal marks a bug of the compiler: input that passed every check and
// could not be generated.
const CodeInternal diag.Code = "internal"

// Compile runs all stages. The list is that of the result.
func Compile(fsys fs.FS, opt Options) (*Result, diag.List) {
	r := &run{fsys: fsys, opt: opt, prev: opt.Previous}
	if r.prev == nil {
		r.prev = &Result{generated: &generated{}}
	}
	r.out = &Result{generated: r.prev.generated}
	for _, s := range stages {
		if r.done(s.name) {
			break
		}
		r.tell(s.name)
		s.run(r)
	}
	r.tell("")
	r.out.Diagnostics.Sort()
	return r.out, r.out.Diagnostics
}

func (r *run) tell(stage string) {
	if r.opt.Stage != nil {
		r.opt.Stage(stage)
	}
}

// done reports whether the result is complete before the named stage.
func (r *run) done(stage string) bool {
	return stage == "generate" && (r.opt.LintOnly || r.out.Diagnostics.HasErrors()) || r.err != nil
}

func (r *run) add(l diag.List) { r.out.Diagnostics = append(r.out.Diagnostics, l...) }

// fail records a bug of ours as a diagnostic, so that it refuses the release
// like any other error.
func (r *run) fail(err error) {
	r.err = err
	d := r.out.Diagnostics.Add(CodeInternal, diag.Critical, sourceOfNothing, "%v", err)
	d.Fix = &diag.Fix{Message: "this is a bug of mesh-compile: report it with the documents that cause it"}
}

func (r *run) load() {
	files, diags := load.Load(r.fsys, load.Options{
		DefaultNamespace: r.opt.Namespace,
		Set:              r.opt.Set,
		Groups:           dialect.Reading,
		Previous:         r.prev.Files,
		Modules:          schemas.CUE(),
	})
	r.out.Files = files
	r.add(diags)
}

func (r *run) translate() {
	unread := faults{}
	unread.add(r.out.Diagnostics)
	r.out.translations = r.prev.translations.next(r.prev.Files, r.out.Files)
	for _, i := range r.out.loud {
		r.add(unread.elsewhere(r.out.translated[i].diags))
	}
	r.add(dialect.Misspelt(r.out.Files.Foreign))
	r.malformed = faults{}
	r.malformed.add(r.out.Diagnostics)
}

func (r *run) check() {
	m, diags := check.Run(r.out.fragments, check.Options{
		AssumeExternal: r.opt.AssumeExternal,
		AsOf:           r.opt.AsOf,
		Previous:       r.prev.Mesh,
	})
	r.out.Mesh = m
	for i := range diags {
		if d := &diags[i]; d.Code == check.Expired && r.kept(d.Span.File) {
			d.Severity = diag.Warning
		}
	}
	r.add(r.malformed.elsewhere(diags))
	if !r.opt.LintOnly && !r.out.Diagnostics.HasErrors() {
		r.describe()
	}
}

// analyze looks for what is unsafe in a mesh that is well formed. Waivers accept
// its findings, and warnings; what check refuses has no meaning to accept.
func (r *run) analyze() {
	found, cache := analyze.Run(r.out.Mesh, passes.All(), analyze.Options{Previous: r.prev.analysis})
	r.out.analysis = cache
	misplaced := analyze.Waive(r.out.Mesh, r.waivable(found), r.lapsed)
	r.add(inSound(append(found, misplaced...), r.out.Files.Documents, r.out.translated))
}

func (r *run) kept(file string) bool { return r.opt.Kept != nil && r.opt.Kept(file) }

// lapsed reports whether a waiver accepts nothing anymore. One that is in force
// already goes on: without it the release that is live could not be made again.
func (r *run) lapsed(w *mesh.Waiver) bool {
	return !r.opt.AsOf.IsZero() && !r.opt.AsOf.Before(w.Expires) && !r.kept(w.Span.File)
}

// waivable are the findings of the analyzers, and the warnings so far.
func (r *run) waivable(found diag.List) []*diag.Diagnostic {
	out := make([]*diag.Diagnostic, 0, len(found))
	for i := range found {
		out = append(out, &found[i])
	}
	for i := range r.out.Diagnostics {
		if d := &r.out.Diagnostics[i]; d.Severity < diag.Error {
			out = append(out, d)
		}
	}
	return out
}
