package main

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

func TestEveryClaimHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts seven Envoys")
	}
	envoytest.Require(t)
	var out bytes.Buffer
	held, err := run(t.Context(), config{network: envoytest.Network(), out: &out})
	if err != nil || !held {
		t.Errorf("held: %t, error %v", held, err)
	}
	if !regexp.MustCompile(`\nall \d\d claims held \(.*s\)\n$`).Match(out.Bytes()) {
		t.Error("the verdict is missing")
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(line) - 1; n > 120 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	t.Logf("\n%s", &out)
}

func TestAFailedClaimIsSaid(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	table := newTable(t.Context(), &out)
	table.claim("water is wet", func() (string, error) { return "it is", nil })
	table.claim("pigs fly", func() (string, error) { return "0 of 3", errors.New("(want all)") })
	if table.verdict() {
		t.Error("the verdict is that all held")
	}
	const want = `        CLAIM                                           OBSERVED
ok      water is wet                                    it is
FAILED  pigs fly                                        0 of 3 (want all)

1 of 2 claims failed
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if newTable(t.Context(), io.Discard).verdict() {
		t.Error("no claim is a claim that held")
	}
}
