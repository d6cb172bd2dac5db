package load

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/parallel"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// piece is a part of a YAML stream that starts at a document marker. Pieces are
// parsed on their own, so that one broken document hides no other.
type piece struct {
	file *file
	text []byte
	line int // lines of the file before text
}

// yamlFiles reads every YAML and JSON file into its unit.
func (l *loader) yamlFiles(files []*file) {
	var pieces []piece
	var units []*unit
	for _, f := range files {
		if path.Ext(f.path) == ".cue" || isKustomization(f.path) {
			continue
		}
		key := l.unitKey(f)
		if l.reuse(f.path, key) {
			continue
		}
		u := &unit{key: key}
		l.units[f.path] = u
		for _, p := range l.split(f, &u.diags) {
			pieces, units = append(pieces, p), append(units, u)
		}
	}
	parsed := make([]unit, len(pieces))
	parallel.Do(len(pieces), 1, func(i int) { parsed[i] = l.parsePiece(pieces[i]) })
	for i, u := range units {
		u.docs = append(u.docs, parsed[i].docs...)
		u.foreign = append(u.foreign, parsed[i].foreign...)
		u.diags = append(u.diags, parsed[i].diags...)
	}
	for i, u := range units {
		if i == 0 || u != units[i-1] {
			u.diags = truncate(u.diags)
		}
	}
}

// maxDiagnostics of one file: beyond, they say nothing new.
const maxDiagnostics = 200

func truncate(list diag.List) diag.List {
	if len(list) <= maxDiagnostics {
		return list
	}
	rest := len(list) - maxDiagnostics
	list = list[:maxDiagnostics:maxDiagnostics]
	list.Errorf(CodeLimit, list[len(list)-1].Span, "and %d more diagnostics in this file", rest)
	return list
}

// unitKey covers what a file's documents depend on besides the file.
func (l *loader) unitKey(f *file) [sha256.Size]byte {
	place := l.kust.places[f.path]
	key := append(slices.Concat(f.digest[:], l.options[:]), strconv.FormatBool(place.patch)...)
	key = strconv.AppendQuote(strconv.AppendQuote(key, place.namespace), place.span.File)
	return sha256.Sum256(key)
}

// split checks the encoding and cuts a stream at its document markers. A line
// that starts with "---" is a marker wherever it stands, also within a block or
// quoted scalar (YAML 1.2, 9.1.2).
func (l *loader) split(f *file, diags *diag.List) []piece {
	data := bytes.TrimPrefix(f.data, []byte("\xef\xbb\xbf"))
	// The parser knows YAML 1.1 only by name; it reads 1.2 all the same.
	if m := yamlDirective.FindSubmatchIndex(data); m != nil {
		data = bytes.Clone(data)
		data[m[2]] = '#'
	}
	if at := invalidText(data); at >= 0 {
		line := 1 + bytes.Count(data[:at], []byte("\n"))
		column := at - bytes.LastIndexByte(data[:at], '\n')
		diags.Errorf(CodeYAML, source.At(f.path, line, column), "byte %#02x is not UTF-8 text: save the file as UTF-8", data[at])
		return nil
	}
	var pieces []piece
	start, startLine, directive := 0, 0, false
	for at, line := 0, 0; at < len(data); line++ {
		end := at + bytes.IndexByte(data[at:], '\n') + 1
		if end == at {
			end = len(data)
		}
		text := data[at:end]
		if isMarker(text) && at > start && !directive {
			pieces = append(pieces, piece{file: f, text: data[start:at], line: startLine})
			start, startLine = at, line
		}
		directive = text[0] == '%' || directive && !isMarker(text)
		at = end
	}
	if start < len(data) {
		pieces = append(pieces, piece{file: f, text: data[start:], line: startLine})
	}
	return pieces
}

func isMarker(line []byte) bool {
	return len(line) >= 3 && line[0] == '-' && line[1] == '-' && line[2] == '-' &&
		(len(line) == 3 || bytes.IndexByte([]byte(" \t\r\n"), line[3]) >= 0)
}

// invalidText returns the place of the first byte that is not UTF-8, or is NUL
// as in UTF-16; -1 where there is none.
func invalidText(data []byte) int {
	if nul := bytes.IndexByte(data, 0); nul >= 0 {
		return nul
	}
	if utf8.Valid(data) {
		return -1
	}
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// parsePiece reads the documents of one piece, up to its first error.
func (l *loader) parsePiece(p piece) (u unit) {
	defer func() {
		if r := recover(); r != nil {
			u.diags.Errorf(CodeYAML, source.At(p.file.path, p.line+1, 1), "the YAML parser gave up on this document: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(p.text))
	c := &converter{loader: l, piece: p, unit: &u}
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return u
		}
		if err != nil {
			l.broken(p, err, &u)
			return u
		}
		if len(doc.Content) == 1 {
			c.document(doc.Content[0])
		}
	}
}

var (
	yamlDirective = regexp.MustCompile(`\A(?:[ \t]*(?:#[^\n]*)?\r?\n)*(%)YAML 1\.[0-9]+[ \t\r]*\n`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced$`)
	errorLine     = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
	apiVersion    = regexp.MustCompile(`(?m)^[ \t{,-]*"?apiVersion"?[ \t]*:[ \t]*["']?([^"'\s,]*)`)
	kindLine      = regexp.MustCompile(`(?m)^[ \t{,-]*"?kind"?[ \t]*:[ \t]*["']?([^"'\s,]*)`)
)

// broken reports text that is not YAML: as an error where it seems to be an
// object that we read, else as a warning, since it is nobody's policy.
func (l *loader) broken(p piece, err error, u *unit) {
	line, text := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := errorLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		if at := bytes.Index(p.text, []byte("*"+m[1])); at >= 0 {
			line = 1 + bytes.Count(p.text[:at], []byte("\n"))
		}
	}
	version, kind := "", ""
	if m := apiVersion.FindSubmatch(p.text); m != nil {
		version = string(m[1])
	}
	if m := kindLine.FindSubmatch(p.text); m != nil {
		kind = string(m[1])
	}
	severity := diag.Warning
	if version != "" && l.read(groupOf(version), kind).Read {
		severity = diag.Error
	}
	begin := max(line, 1)
	if line > 0 && strings.HasPrefix(text, "did not find expected") { // the parser's lines count from 0, the scanner's from 1
		begin++
	}
	line = max(begin, firstBroken(p.text, err))
	d := u.diags.Add(CodeYAML, severity, source.At(p.file.path, p.line+line, 1), "not YAML: %s", text)
	if begin < line {
		d.Related = []diag.Related{{Span: source.At(p.file.path, p.line+begin, 1), Message: "what cannot be read to its end begins here"}}
	}
	if fix := mend(p.text, line, text); fix != "" {
		d.Fix = &diag.Fix{Message: fix}
	}
	u.foreign = append(u.foreign, Foreign{Span: source.At(p.file.path, p.line+1, 1), APIVersion: version, Kind: kind})
}
