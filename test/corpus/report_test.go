package corpus

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// report collects what the golden file says.
type report struct {
	compiled struct{ files, repositories int }
	kinds    map[string]int // documents of kinds that are not supported
	files    strings.Builder
	wholes   strings.Builder
	alone    map[string]bool // what has been said of the files
	used     map[*reason]bool
}

// unsupportedKind is the message about a whole document, which is only counted.
var unsupportedKind = regexp.MustCompile(`^kind (\S+ of \S+) is not supported$`)

// add reports the errors of a unit.
func (r *report) add(t *testing.T, u unit, found diag.List) {
	t.Helper()
	if r.kinds == nil {
		r.kinds, r.alone, r.used = map[string]int{}, map[string]bool{}, map[*reason]bool{}
	}
	var errors diag.List
	for _, d := range found {
		if d.Severity < diag.Error {
			continue
		}
		if m := unsupportedKind.FindStringSubmatch(d.Message); m != nil {
			if !u.whole {
				r.kinds[m[1]]++
			}
			continue
		}
		errors = append(errors, d)
	}
	if u.whole {
		r.compiled.repositories++
		r.addWhole(t, u, errors)
		return
	}
	r.compiled.files++
	r.addFile(t, u, errors)
}

func (r *report) addFile(t *testing.T, u unit, errors diag.List) {
	t.Helper()
	if len(errors) > 0 {
		fmt.Fprintf(&r.files, "\n%s\n", u.name)
	}
	for i := range errors {
		d := &errors[i]
		r.alone[identity(d)] = true
		fmt.Fprintf(&r.files, "%s: %s [%s]\n\twhy: %s\n", place(d), d.Message, d.Code, r.why(t, d))
	}
}

// addWhole reports what the files alone did not show, one line for each code and
// reason: repositories hold variants of the same objects by the dozen.
func (r *report) addWhole(t *testing.T, u unit, errors diag.List) {
	t.Helper()
	type group struct {
		first *diag.Diagnostic
		why   string
		n     int
	}
	var groups []*group
	for i := range errors {
		d := &errors[i]
		if r.alone[identity(d)] {
			continue
		}
		why := r.why(t, d)
		g := slices.IndexFunc(groups, func(g *group) bool { return g.first.Code == d.Code && g.why == why })
		if g < 0 {
			g, groups = len(groups), append(groups, &group{first: d, why: why})
		}
		groups[g].n++
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(a.first.Code, b.first.Code) })
	how := "its services are declared here"
	if u.fragment() {
		how = "without services: they are taken to be elsewhere"
	}
	fmt.Fprintf(&r.wholes, "\n%s (%s)\n", u.name, how)
	if len(groups) == 0 {
		r.wholes.WriteString("nothing further\n")
	}
	for _, g := range groups {
		fmt.Fprintf(&r.wholes, "%d %s, first %s:%s: %s\n\twhy: %s\n", g.n, g.first.Code,
			strings.TrimPrefix(g.first.Span.File, u.name+"/"), place(g.first), g.first.Message, g.why)
	}
}

func identity(d *diag.Diagnostic) string {
	return fmt.Sprintf("%s %s %s", d.Span, d.Code, d.Message)
}

// why finds the reason of an error. An error without one fails the test: either
// it is not true, or a sentence is missing in reasons.
func (r *report) why(t *testing.T, d *diag.Diagnostic) string {
	t.Helper()
	for i := range reasons {
		if e := &reasons[i]; e.explains(d) {
			r.used[e] = true
			return e.why
		}
	}
	t.Errorf("%s: %s [%s]: no reason says why this is an error", d.Span, d.Message, d.Code)
	return "?"
}

// checkReasons fails for sentences that explain nothing any more.
func (r *report) checkReasons(t *testing.T) {
	t.Helper()
	for i := range reasons {
		if e := &reasons[i]; !r.used[e] {
			t.Errorf("no error needs the reason %s %q", e.code, e.message)
		}
	}
}

func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d files alone, %d repositories as a whole: the errors, and why each is one.\n", r.compiled.files, r.compiled.repositories)
	b.WriteString("\n== Documents of kinds that are not supported, each one error\n\n")
	for _, kind := range slices.Sorted(maps.Keys(r.kinds)) {
		fmt.Fprintf(&b, "%4d %s\n", r.kinds[kind], kind)
	}
	b.WriteString("\n== Files\n")
	b.WriteString(r.files.String())
	b.WriteString("\n== Repositories, beyond the errors of their files\n")
	b.WriteString(r.wholes.String())
	return b.String()
}
