package load

import (
	"bytes"
	"errors"
	"io"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// firstBroken is the line of text that the parser stumbled over. Its error names
// only where the value around it begins. Text up to a line fails in the same way
// if and only if that line is included, since the parser reads forward.
func firstBroken(text []byte, err error) int {
	var ends []int
	for at, c := range text {
		if c == '\n' {
			ends = append(ends, at+1)
		}
	}
	return 1 + sort.Search(len(ends), func(i int) bool {
		broken := parse(text[:ends[i]])
		return broken != nil && broken.Error() == err.Error()
	})
}

// parse returns the first error of a YAML stream.
func parse(text []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the parser gave up")
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// mend says what usually helps, by the parser's message and the line at fault.
func mend(text []byte, line int, message string) string {
	at := ""
	if lines := strings.SplitN(string(text), "\n", line+1); line <= len(lines) {
		at = lines[line-1]
	}
	indent := at[:len(at)-len(strings.TrimLeft(at, " \t"))]
	switch {
	case bytes.Contains(text, []byte("{{")):
		return "this looks like a template: render it (helm template) and commit or pipe the output"
	case strings.Contains(indent, "\t"):
		return "indent with spaces: a tab is no indentation in YAML"
	case strings.Contains(message, "mapping values are not allowed"):
		return "quote the text if the colon belongs to it; else look at the indentation of this line and the one before"
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "did not find expected '-'"):
		return "indent the line as its neighbours are"
	case strings.Contains(message, "could not find expected ':'"):
		return "put a colon and a space after the key"
	case strings.Contains(message, "did not find expected ',' or"):
		return "close the bracket or brace, or put a comma before this"
	}
	return ""
}
