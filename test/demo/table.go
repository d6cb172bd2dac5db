package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// The table's columns; with two spaces between them a row is 120 wide.
const (
	markWidth     = 6
	claimWidth    = 46
	observedWidth = 64
)

// table is the claims and what was observed of each. A row is printed as soon as it is known.
type table struct {
	ctx    context.Context // no claim is made after its end
	out    io.Writer
	begun  time.Time
	claims int
	failed int
}

func newTable(ctx context.Context, out io.Writer) *table {
	t := &table{ctx: ctx, out: out, begun: time.Now()}
	t.row("", "CLAIM", "OBSERVED")
	return t
}

// claim observes; an error is an observation that refutes the claim.
func (t *table) claim(claim string, observe func() (string, error)) {
	if t.ctx.Err() != nil {
		return
	}
	observed, err := observe()
	if t.ctx.Err() != nil {
		return // it says nothing about the claim
	}
	mark := "ok"
	if err != nil {
		mark = "FAILED"
		observed = strings.TrimSpace(observed + " " + err.Error())
		t.failed++
	}
	t.claims++
	t.row(mark, claim, observed)
}

func (t *table) row(mark, claim, observed string) {
	left, right := wrap(claim, claimWidth), wrap(observed, observedWidth)
	for n := range max(len(left), len(right)) {
		line := fmt.Sprintf("%-*s  %-*s  %s", markWidth, mark, claimWidth, at(left, n), at(right, n))
		fmt.Fprintln(t.out, strings.TrimRight(line, " "))
		mark = ""
	}
}

// verdict ends the table and says whether every claim held.
func (t *table) verdict() bool {
	if t.ctx.Err() != nil {
		return false
	}
	took := time.Since(t.begun).Round(100 * time.Millisecond)
	if t.failed > 0 || t.claims == 0 {
		fmt.Fprintf(t.out, "\n%d of %d claims failed\n", t.failed, t.claims)
		return false
	}
	fmt.Fprintf(t.out, "\nall %d claims held (%s)\n", t.claims, took)
	return true
}

func at(lines []string, n int) string {
	if n < len(lines) {
		return lines[n]
	}
	return ""
}

// wrap breaks text between words, and words that are longer than a line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		for len(word) > width {
			lines, word = append(lines, word[:width]), word[width:]
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
