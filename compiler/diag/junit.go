package diag

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitFailure `xml:"skipped"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit renders findings as a JUnit report: each is a test case by its file
// and place, failed from severity failOn on, skipped where it is waived. A run
// without findings is one case that passed, since an empty report reads as "no
// tests were run".
func WriteJUnit(w io.Writer, l List, failOn Severity, dir string) error {
	suite := junitSuite{Name: "mesh-compile lint"}
	for i := range l {
		c := junitOf(&l[i], failOn, dir)
		if c.Failure != nil {
			suite.Failures++
		}
		if c.Skipped != nil {
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if len(l) == 0 {
		suite.Cases = []junitCase{{Class: "mesh-compile", Name: "no findings"}}
	}
	suite.Tests = len(suite.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suite: suite}); err != nil {
		return fmt.Errorf("writing the JUnit report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitOf(d *Diagnostic, failOn Severity, dir string) junitCase {
	at := d.Span.Below(dir)
	c := junitCase{Class: orRepository(at.File), Name: strings.TrimSpace(fmt.Sprintf("%s %s", d.Code, at))}
	detail := annotation(d, dir)
	switch {
	case d.Waived:
		c.Skipped = &junitFailure{Message: "waived: " + oneLine(d.Message)}
	case d.Severity >= failOn:
		c.Failure = &junitFailure{Message: oneLine(d.Message), Type: d.Severity.String(), Text: detail}
	default:
		c.Output = d.Severity.String() + ": " + detail
	}
	return c
}

func orRepository(file string) string {
	if file == "" {
		return "repository"
	}
	return file
}
