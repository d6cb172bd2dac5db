package diag

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample has every part that a finding can have, and text that wants escaping.
func sample() List {
	span := source.Span{File: "shop/größe, x:1.yaml", Start: source.Pos{Line: 2, Column: 9}, End: source.Pos{Line: 2, Column: 12}}
	l := List{
		{
			Code: "routeshadow", Severity: Error, Span: span, Object: "MeshRoute shop/catalog",
			Message: "route \"a\" is never reached: 100% match <first>",
			Related: []Related{{source.At("shop/b.yaml", 3, 7), "earlier match"}},
			Witness: &Witness{From: "shop/order", To: "catalog:8080", Path: "/", Observe: "goes to v1"},
			Fix:     &Fix{Message: "move it above\nline 3"},
		},
		{Code: "weights", Severity: Warning, Span: source.Span{File: "shop/b.yaml"}, Message: "whole file"},
		{Code: "weights", Severity: Critical, Message: "no file"},
		{Code: "expired", Severity: Error, Span: source.At("shop/b.yaml", 1, 1), Message: "accepted", Waived: true},
		{Code: "notice", Severity: Info, Span: source.At("shop/c.yaml", 1, 1), Message: "bell \x07"},
	}
	l.Sort()
	return l
}

func sarifOptions() SARIFOptions {
	return SARIFOptions{
		Dir: "policies", Version: "1",
		Files: fstest.MapFS{"shop/größe, x:1.yaml": {Data: []byte("a: 1\ngröße: xyz\n")}},
		Pages: []Page{{Code: "weights", Severity: Error, Title: "weights do not add up", Doc: "First\nparagraph.\n\nSecond.\n"}},
	}
}

func TestFormats(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer) error{
		"sarif":  func(b *bytes.Buffer) error { return WriteSARIF(b, sample(), sarifOptions()) },
		"github": func(b *bytes.Buffer) error { return WriteGitHub(b, sample(), "policies") },
		"junit":  func(b *bytes.Buffer) error { return WriteJUnit(b, sample(), Error, "policies") },
		"text":   func(b *bytes.Buffer) error { return WriteText(b, sample(), TextOptions{Dir: "policies"}) },
		"color":  func(b *bytes.Buffer) error { return WriteText(b, sample(), TextOptions{Color: true}) },
		"json":   func(b *bytes.Buffer) error { return WriteJSON(b, sample(), Status{}, 3, "policies") },
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s; -update accepts it:\n%s", golden, diff)
			}
		})
	}
}

// TestSARIFConstraints holds what the standard and GitHub demand of every result.
func TestSARIFConstraints(t *testing.T) {
	l := sample()
	for i := range 150 {
		l[0].Related = append(l[0].Related, Related{source.At("x.yaml", i, 1), "more"})
	}
	for _, list := range []List{nil, l, append(l, l...)} {
		var b bytes.Buffer
		if err := WriteSARIF(&b, list, sarifOptions()); err != nil {
			t.Fatal(err)
		}
		var log sarifLog
		if err := json.Unmarshal(b.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		run := log.Runs[0]
		if run.Results == nil || run.Tool.Driver.Rules == nil || len(run.Results) != len(list) {
			t.Errorf("%d results of %d, rules %v: both must be lists", len(run.Results), len(list), run.Tool.Driver.Rules)
		}
		seen := map[string]bool{}
		for _, r := range run.Results {
			if err := constrain(r, run.Tool.Driver.Rules); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
			if key := r.Fingerprints["primaryLocationLineHash"]; seen[key] {
				t.Errorf("two results with fingerprint %s", key)
			} else {
				seen[key] = true
			}
		}
	}
}

func constrain(r sarifResult, rules []sarifRule) error {
	switch {
	case r.RuleIndex >= len(rules) || rules[r.RuleIndex].ID != r.RuleID:
		return fmt.Errorf("ruleIndex %d is not rule %s", r.RuleIndex, r.RuleID)
	case r.Message.Text == "" || rules[r.RuleIndex].ShortDescription.Text == "":
		return fmt.Errorf("no text")
	case len(r.Locations) != 1 || len(r.Related) > sarifRelated:
		return fmt.Errorf("%d locations and %d related", len(r.Locations), len(r.Related))
	case !strings.Contains("error warning note", r.Level):
		return fmt.Errorf("level %q", r.Level)
	}
	for _, l := range append(r.Locations, r.Related...) {
		uri, region := l.Physical.Artifact.URI, l.Physical.Region
		if uri == "" || strings.HasPrefix(uri, "/") || strings.ContainsAny(uri, " \\") {
			return fmt.Errorf("uri %q", uri)
		}
		if region.StartLine < 1 || region.EndLine != 0 && region.EndLine < region.StartLine {
			return fmt.Errorf("region %+v", region)
		}
	}
	return nil
}

// TestSARIFLimit keeps the gravest of more findings than code scanning takes,
// and says that some are missing.
func TestSARIFLimit(t *testing.T) {
	var l List
	for i := range sarifResults + 10 {
		l.Warnf("weights", source.At("a.yaml", i+1, 1), "finding %d", i)
	}
	l.Errorf("weights", source.At("z.yaml", 1, 1), "the error")
	var b bytes.Buffer
	if err := WriteSARIF(&b, l, SARIFOptions{}); err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if n := len(run.Results); n != sarifResults || run.Results[n-1].Message.Text != "the error" {
		t.Errorf("%d results, the last is %+v", n, run.Results[n-1])
	}
	if notes := run.Invocations[0].Notifications; len(notes) != 1 || !strings.Contains(notes[0].Message.Text, "11 further") {
		t.Errorf("notifications %+v", notes)
	}
}

// TestJUnitIsXML reads back what was written, without findings too.
func TestJUnitIsXML(t *testing.T) {
	for _, test := range []struct {
		list            List
		tests, failures int
	}{{nil, 1, 0}, {sample(), 5, 2}} {
		var b bytes.Buffer
		if err := WriteJUnit(&b, test.list, Error, ""); err != nil {
			t.Fatal(err)
		}
		var got junitSuites
		if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Suite.Tests != test.tests || got.Suite.Failures != test.failures || len(got.Suite.Cases) != test.tests {
			t.Errorf("got %+v", got.Suite)
		}
	}
}
