package load

import (
	"fmt"
	"regexp"
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
	// nearest is where a path was written, or what is around it.
	nearest func(path []string) anchor
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
		path := list[0].Path()
		if len(path) > 0 && strings.Contains(message(list[0]), "in empty disjunction") {
			for n < len(list) && slices.Equal(list[n].Path(), path) {
				n++
			}
		}
		e.report(list[:n], path, object)
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
	if d := e.report([]errors.Error{one}, one.Path(), ""); d != nil {
		d.Message += ": what depends on it is missing"
	}
}

// report makes one diagnostic of errors about one path; the first is the
// headline where there are several.
func (e *cueErrors) report(list []errors.Error, path []string, object string) *diag.Diagnostic {
	text := message(list[0])
	if len(list) > 1 {
		var alternatives []string
		for _, one := range list[1:] {
			alternatives = append(alternatives, message(one))
		}
		text = "no alternative admits this value: " + strings.Join(slices.Compact(alternatives), "; ")
	}
	places := e.places(list)
	if strings.Contains(text, "field not allowed") {
		// CUE reports the items of a list that is not allowed, not the list.
		for len(path) > 0 && strings.Trim(path[len(path)-1], "0123456789") == "" {
			path = path[:len(path)-1]
		}
		places = slices.DeleteFunc([]source.Span{e.around(path).label()}, func(s source.Span) bool { return !s.IsValid() })
	}
	if len(path) > 0 {
		text = strings.Join(path, ".") + ": " + text
	}
	if e.seen[text] {
		return nil
	}
	if e.seen == nil {
		e.seen = map[string]bool{}
	}
	e.seen[text] = true
	if len(places) == 0 {
		places = []source.Span{e.around(path).value()}
	}
	if !places[0].IsValid() {
		places[0] = e.fallback
	}
	// The value at fault comes after the constraint that it meets.
	d := e.unit.diags.Errorf(CodeCUE, places[len(places)-1], "%s", text)
	d.Object = object
	for _, p := range places[:len(places)-1] {
		d.Related = append(d.Related, diag.Related{Span: p, Message: "part of this value"})
	}
	return d
}

func (e *cueErrors) around(path []string) anchor {
	if e.nearest == nil {
		return anchor{}
	}
	return e.nearest(path)
}

// cause of a failed import: what is wrong with the package.
func cause(e errors.Error) errors.Error {
	for message(e) == "import failed" {
		var inner errors.Error
		if !errors.As(errors.Unwrap(e), &inner) {
			break
		}
		e = inner
	}
	return e
}

// fieldCount matches CUE's message for a union without, or with more than, one
// member; it prints the whole value.
var fieldCount = regexp.MustCompile(`(?s)^invalid value .* \(does not satisfy struct\.(Min|Max)Fields\((\d+)\)\)$`)

func message(e errors.Error) string {
	format, args := e.Msg()
	text := fmt.Sprintf(format, args...)
	if m := fieldCount.FindStringSubmatch(text); m != nil {
		bound := map[string]string{"Min": "too few fields, want at least", "Max": "too many fields, want at most"}[m[1]]
		return bound + " " + m[2]
	}
	return text
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
