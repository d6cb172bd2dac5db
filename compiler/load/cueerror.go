package load

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// cueErrors turns errors of CUE into diagnostics at the lines that a person
// wrote.
type cueErrors struct {
	files    map[string]*file // of the repository
	unit     *unit
	fallback source.Span
	seen     map[string]bool // messages that are reported
	// nearest is the place of a path, or of what is around it.
	nearest func(path []string) source.Span
}

// add reports each faulty path once. CUE reports a value that no alternative of
// a disjunction admits once for each of them, after a headline.
func (e *cueErrors) add(err error, object string) {
	list := errors.Errors(err)
	for i := range list {
		list[i] = cause(list[i])
	}
	for len(list) > 0 {
		n := 1
		at := strings.Join(list[0].Path(), ".")
		if at != "" && strings.Contains(message(list[0]), "in empty disjunction") {
			for n < len(list) && strings.Join(list[n].Path(), ".") == at {
				n++
			}
		}
		e.report(list[:n], at, object)
		list = list[n:]
	}
}

// incomplete reports a struct that could not be completed, unless a fault below
// it is reported already.
func (e *cueErrors) incomplete(v cue.Value, err error) {
	if v.Validate() != nil {
		return
	}
	one := errors.Errors(err)[0]
	d := e.report([]errors.Error{one}, strings.Join(one.Path(), "."), "")
	if d != nil {
		d.Message += ": what depends on it is missing"
	}
}

// report makes one diagnostic of errors about one path; the first is the
// headline where there are several.
func (e *cueErrors) report(list []errors.Error, at, object string) *diag.Diagnostic {
	text := message(list[0])
	if len(list) > 1 {
		var alternatives []string
		for _, one := range list[1:] {
			alternatives = append(alternatives, message(one))
		}
		text = "no alternative admits this value: " + strings.Join(slices.Compact(alternatives), "; ")
	}
	if at != "" {
		text = at + ": " + text
	}
	if e.seen[text] {
		return nil
	}
	if e.seen == nil {
		e.seen = map[string]bool{}
	}
	e.seen[text] = true
	places := e.places(list)
	if len(places) == 0 && e.nearest != nil {
		places = append(places, e.nearest(list[0].Path()))
	}
	if len(places) == 0 || !places[0].IsValid() {
		places = []source.Span{e.fallback}
	}
	// The value at fault comes after the constraint that it meets.
	d := e.unit.diags.Errorf(CodeCUE, places[len(places)-1], "%s", text)
	d.Object = object
	for _, p := range places[:len(places)-1] {
		d.Related = append(d.Related, diag.Related{Span: p, Message: "part of this value"})
	}
	return d
}

// cause of a failed import: what is wrong with the package.
func cause(e errors.Error) errors.Error {
	for {
		var inner errors.Error
		if !errors.As(errors.Unwrap(e), &inner) {
			return e
		}
		e = inner
	}
}

func message(e errors.Error) string {
	format, args := e.Msg()
	return fmt.Sprintf(format, args...)
}

// places lists the positions of errors that are in the repository.
func (e *cueErrors) places(list []errors.Error) []source.Span {
	var out []source.Span
	for _, one := range list {
		for _, p := range errors.Positions(one) {
			if e.files[p.Filename()] != nil {
				out = append(out, position(p))
			}
		}
	}
	slices.SortFunc(out, source.Compare)
	return slices.Compact(out)
}
