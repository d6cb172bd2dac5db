package authz

import (
	"bytes"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// TestStrings: a value is a value, whatever it looks like in Rego.
func TestStrings(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		`"`, `\`, "`", "a\nb", "a\tb", "\u2028", `"} else := true {"`, "# comment", "${x}", "{{x}}", "$\"{input}\"",
		`\u0022`, `\x00`, "ключ", "\U0001F512", "]", "data.x", strings.Repeat("long", 1000),
	} {
		in := &check.Inbound{Port: 8080, Protocol: mesh.HTTP, Access: check.Access{Allow: []*mesh.AccessRule{
			{ID: "id " + word, To: []mesh.Operation{{Paths: []mesh.StringMatch{{Value: "/" + word}}}}},
			{
				ID: word, ExceptTo: []mesh.Operation{{Hosts: []mesh.StringMatch{{Value: word}}}},
				To: []mesh.Operation{{Headers: []mesh.HeaderMatch{{Name: "x-a", StringMatch: mesh.StringMatch{Kind: mesh.Suffix, Value: word}}}}},
			},
		}}}
		asked := newOPA(t, in)
		probes := []probe{
			{path: "/" + word}, {path: "/"},
			{headers: map[string][]string{"x-a": {word}}}, {headers: map[string][]string{"x-a": {word}}, host: word},
		}
		for _, p := range probes {
			p.peer, p.method = "127.0.0.1", "GET"
			want := verdict{}
			switch {
			case p.path == "/"+word && !strings.Contains(word, "#"): // no path has a fragment
				want = verdict{true, "id " + word}
			case p.headers != nil && p.host == "":
				want = verdict{true, word}
			}
			for form, got := range asked.decisions(t, p.input(8080)) {
				if got != want {
					t.Errorf("%q, %s: got %v, want %v for %+v", word, form, got, want, p)
				}
			}
		}
	}
}

// TestReadsOnlyWhatIsAsked: the agent builds the part of the input that a bundle
// mentions, and headers are most of it.
func TestReadsOnlyWhatIsAsked(t *testing.T) {
	t.Parallel()
	b, err := bundle.NewReader(bytes.NewReader(orders(t))).Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range b.Modules {
		for line := range strings.Lines(string(m.Raw)) {
			code, _, _ := strings.Cut(line, "#")
			if strings.Contains(code, "http.header") || strings.Contains(code, "request.http\n") {
				t.Errorf("%s reads headers: %s", m.Path, line)
			}
		}
	}
	if got := *b.Manifest.Roots; len(got) != 1 || got[0] != "mesh_compile" {
		t.Errorf("roots %v", got)
	}
	if v := b.Manifest.RegoVersion; v == nil || *v != 1 || b.Manifest.Revision != "" {
		t.Errorf("manifest %+v", b.Manifest)
	}
}

// TestRefusals: what cannot be said exactly is not said at all.
func TestRefusals(t *testing.T) {
	t.Parallel()
	match := []mesh.StringMatch{{Value: "a"}}
	for want, access := range map[string]check.Access{
		`IP block "10.0.0.0/33"`:              from(mesh.Source{IPBlocks: []string{"10.0.0.0/33"}}),
		`IP block "everywhere"`:               from(mesh.Source{NotRemoteIPBlocks: []string{"everywhere"}}),
		"a namespace is compared by regex":    from(mesh.Source{Namespaces: []mesh.StringMatch{{Kind: mesh.Regex, Value: ".*"}}}),
		"ports of a rule are decided before":  {Deny: []*mesh.AccessRule{{ID: "r", To: []mesh.Operation{{Ports: []uint32{80}}}}}},
		`condition "request.auth.claims[x]"`:  {Allow: []*mesh.AccessRule{{ID: "r", When: []mesh.Condition{{Key: "request.auth.claims[x]", Values: match}}}}},
		`custom rule "r" needs an authorizer`: {Custom: []*mesh.AccessRule{{ID: "r"}}},
		`two rules have the id "r"`:           {Allow: []*mesh.AccessRule{{ID: "r"}, {ID: "r"}}},
	} {
		in := &check.Inbound{Port: 8080, Protocol: mesh.HTTP, Access: access}
		_, err := ForInbound(settings, in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("RBAC: got %v, want %q", err, want)
		}
		_, err = build(settings, &check.Workload{Inbound: []*check.Inbound{in}}, maxStatic)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Rego: got %v, want %q", err, want)
		}
	}
}

// TestUnwritable: OPA's formatter writes what its parser does not read.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"\x00", "\a", "\x7f", "\xff", "\U000e0001"} {
		in := &check.Inbound{Port: 8080, Protocol: mesh.HTTP, Access: check.Access{Allow: []*mesh.AccessRule{{ID: word}}}}
		if _, err := build(settings, &check.Workload{Inbound: []*check.Inbound{in}}, maxStatic); err == nil {
			t.Errorf("%q is written", word)
		}
	}
}

func from(s mesh.Source) check.Access {
	return check.Access{Allow: []*mesh.AccessRule{{ID: "r", From: []mesh.Source{s}}}}
}

// TestServerName: an input that does not say the name is no input without one.
func TestServerName(t *testing.T) {
	t.Parallel()
	name := []mesh.StringMatch{{Value: "shop.example"}}
	asked := newOPA(t, &check.Inbound{Port: 8080, Protocol: mesh.TCP, Access: check.Access{Allow: []*mesh.AccessRule{
		{ID: "is", When: []mesh.Condition{{Key: keySNI, Values: name}}},
		{ID: "is-not", When: []mesh.Condition{{Key: keySNI, NotValues: name}}},
		{ID: "other-address", When: []mesh.Condition{{Key: keyDestination, NotValues: []mesh.StringMatch{{Value: "127.0.0.0/8"}}}}},
	}}})
	for sni, rule := range map[string]string{"shop.example": "is", "other": "is-not", "": "is-not", "unsaid": ""} {
		p := probe{peer: "127.0.0.1"}
		input := p.input(8080)
		if sni != "unsaid" {
			input["attributes"].(map[string]any)["tlsSession"] = map[string]any{"sni": sni}
		}
		for form, got := range asked.decisions(t, input) {
			if got != (verdict{rule != "", rule}) {
				t.Errorf("%s, name %q: got %v, want %q", form, sni, got, rule)
			}
		}
	}
}
