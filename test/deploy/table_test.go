package deploy

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var roles = []string{"reconcile", "sign", "deliver", "admit", "ca"}

// right is one line of testdata/rights.txt for one role, verb and resource.
type right struct {
	allow           bool
	role, verb      string
	group, resource string // resource may have a /subresource
	namespace, name string // "" is any
	line            int
}

func (r right) String() string {
	return fmt.Sprintf("testdata/rights.txt:%d: %s %s %s.%s", r.line, r.role, r.verb, r.resource, r.group)
}

func rights(t *testing.T) []right {
	t.Helper()
	var all []right
	scanner := bufio.NewScanner(bytes.NewReader(read(t, "test/deploy/testdata/rights.txt")))
	for line := 1; scanner.Scan(); line++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		if fields := strings.Fields(text); len(fields) > 0 {
			all = append(all, parse(t, line, fields)...)
		}
	}
	return all
}

func parse(t *testing.T, line int, fields []string) []right {
	t.Helper()
	if len(fields) < 4 || len(fields)%2 != 0 || !slices.Contains([]string{"allow", "deny"}, fields[0]) {
		t.Fatalf("testdata/rights.txt:%d: %q", line, fields)
	}
	template := right{allow: fields[0] == "allow", line: line}
	for i := 4; i < len(fields); i += 2 {
		switch fields[i] {
		case "in":
			template.namespace = fields[i+1]
		case "named":
			template.name = fields[i+1]
		default:
			t.Fatalf("testdata/rights.txt:%d: %q", line, fields[i])
		}
	}
	who := strings.Split(fields[1], ",")
	if fields[1] == "all" {
		who = roles
	}
	var out []right
	for _, resource := range strings.Split(fields[3], ",") {
		full, sub, _ := strings.Cut(resource, "/")
		template.resource, template.group, _ = strings.Cut(full, ".")
		if sub != "" {
			template.resource += "/" + sub
		}
		for _, role := range who {
			for _, verb := range strings.Split(fields[2], ",") {
				r := template
				r.role, r.verb = role, verb
				out = append(out, r)
			}
		}
	}
	return out
}
