package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// row is a claim and what was observed of it.
type row struct {
	claim, observed string
	held            bool
}

type table []row

// claim observes; an error is an observation that refutes the claim.
func (t *table) claim(claim string, observe func() (string, error)) {
	observed, err := observe()
	if err != nil {
		observed = strings.TrimSpace(observed + " " + err.Error())
	}
	*t = append(*t, row{claim, observed, err == nil})
	fmt.Print(".")
}

func (t table) held() bool {
	for _, r := range t {
		if !r.held {
			return false
		}
	}
	return len(t) > 0
}

func (t table) print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "\n\n\tCLAIM\tOBSERVED")
	for _, r := range t {
		mark := "ok"
		if !r.held {
			mark = "FAILED"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\n", mark, r.claim, strings.ReplaceAll(r.observed, "\n", " "))
	}
	tab.Flush()
}
