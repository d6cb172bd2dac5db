package drift

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ want, have, where string }{
		{`{"a":{"b":[1,2]}}`, `{"a":{"b":[1,2]}}`, ""},
		{`{"a":{"b":[1,2]}}`, `{"a":{"b":[1,3]}}`, "a.b[1]"},
		{`{"a":{"b":[1,2]}}`, `{"a":{"b":[1]}}`, "a.b[1]"},
		{`{"a":{}}`, `{"a":{"open":true}}`, "a.open"},
		{`{"a":{"x":null}}`, `{"a":{}}`, "a.x"},
		{`{"a":"1"}`, `{"a":1}`, "a"},
		{`{"a":[]}`, `{"a":{}}`, "a"},
		{`{"a":1}`, `{"a":[1]}`, "a"},
	} {
		var want, have tree
		if err := errors.Join(json.Unmarshal([]byte(c.want), &want), json.Unmarshal([]byte(c.have), &have)); err != nil {
			t.Fatal(err)
		}
		if got := difference("", want, have); got != c.where {
			t.Errorf("%s and %s differ at %q, want %q", c.want, c.have, got, c.where)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	many := make([]string, 100)
	for i := range many {
		many[i] = `cluster "x" is missing`
	}
	for name, c := range map[string]struct {
		found []string
		ends  string
	}{
		"none":         {nil, ""},
		"one":          {[]string{"listener"}, "listener"},
		"two":          {[]string{"a", "b"}, "a; b"},
		"many":         {many, "; and 84 more"},
		"long":         {[]string{strings.Repeat("é", maxText), "b"}, "; and 1 more"},
		"not in UTF-8": {[]string{"a\xff"}, "a\uFFFD"},
	} {
		got := Text(c.found)
		if !strings.HasSuffix(got, c.ends) || len(got) > maxText || !utf8.ValidString(got) || (got == "") != (len(c.found) == 0) {
			t.Errorf("%s: %d bytes: %q", name, len(got), got)
		}
	}
}
