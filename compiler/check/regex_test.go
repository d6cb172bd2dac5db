package check_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// Expressions that both Go and Envoy read, those that only Go reads, those that
// Go refuses too, and those that are refused here for a reason of our own.
var (
	plainRegexes = []string{
		`/[a-z]+`, `é`, `[é]`, `\x{FF}`, `\xFF`, `\x{0}`, `\x{00000041}`, `[^\x00-\xFF]`, `[^\x00-\x{FF}]`, `[^\s\S]`,
		`\pN`, `\PN`, `\p{Greek}`, `\p{^Greek}`, `\P{^Greek}`, `\p{Any}`, `[^\p{Any}]`, `\p{Lu}\p{Nd}\p{Zs}`, `[\pN-a]`,
		`\Qa.b\E`, `\Q\x{100}\E`, `\Q\\E`, `\\x{100}`, `\\\Qa\E`, `\\p{Letter}`, `\_\-\/`, `\a\f\t\n\r\v`,
		`(?i)a`, `(?i:é)`, `(?U)a+`, `(?m)^a$`, `(?s).`, `(?-i)a`, `(?i-s)a`, `(?i)`, `(?)a`, `\A\b\B\z`, `^*`, `$*`, `\b+`,
		`(?P<a>x)`, `(?<a>x)`, `(?P<1a>x)`, `(?P<a>x)(?P<a>y)`, `(?:)`, `()`, `|`, `(|a)*`, `(a*)*`,
		`a{1000}`, `a{0,1000}`, `(a{100}){10}`, `((a{10}){10}){10}`, `a{,2}`, `{`, `a{`, `a{1`, `a]`, `[]a]`, `[^]a]`,
		`\0`, `\01`, `\123`, `\377`, `\0777`, `[[:word:]]`, `[[:^alpha:]]`, `[\d-z]`, "a\nb", `a??`, `a{2}?`,
	}
	goOnlyRegexes = []string{
		``, `[^\x00-\x{10FFFF}]`, `\x{10FFFF}`, `\x{100}`, `\x{D800}`, `a\\\x{100}`, `\Qa\E\x{100}`, `\400`, `\777`,
		`\p{Letter}`, `\p{ASCII}`, `\p{Assigned}`, `\p{LC}`, `\p{Cn}`, `\p{^Cn}`, `\p{greek}`, `[\p{digit}]`, `\P{Lowercase Letter}`,
	}
	nobodysRegexes = []string{
		`(?=a)`, `(?x)a`, `(?i-)a`, `(?^)a`, `a**`, `a+*`, `a{2}{3}`, `a{1001}`, `(a{100}){11}`, `a{2,1}`, `*`, `a|*`,
		`(?P<>x)`, `\8`, `\1`, `\Z`, `\e`, `\G`, `\xF`, `[\b]`, `[a-\d]`, `[z-a]`, `[]`, `[[:foo:]]`,
		`\p`, `\pX`, `\p{}`, `\p{L`, `\p{IsGreek}`, `\x{110000}`,
	}
	// Envoy reads these. Go, which the evaluator matches with, does not read the
	// first two; the third would quote what is written around it.
	strictRegexes = []string{`\C`, `\p{Kawi}\p{Nag_Mundari}`, `\Qab`}
)

// TestRegexesOfEnvoy gives each expression to the real Envoy and to the check.
func TestRegexesOfEnvoy(t *testing.T) {
	envoytest.Require(t)
	var accepted []string
	names := slices.Concat(slices.Collect(maps.Keys(unicode.Categories)), slices.Collect(maps.Keys(unicode.Scripts)), slices.Collect(maps.Keys(unicode.CategoryAliases)))
	slices.Sort(names)
	for _, name := range names {
		if class := `\p{` + name + `}`; check.RegexProblem(class) == "" {
			accepted = append(accepted, class)
		}
	}
	if len(accepted) < 150 {
		t.Errorf("only %d classes are accepted", len(accepted))
	}
	for _, expr := range plainRegexes {
		if problem := check.RegexProblem(expr); problem != "" {
			t.Errorf("%q is refused: %s", expr, problem)
		}
	}
	wantAccepted(t, slices.Concat(accepted, plainRegexes, strictRegexes))

	for _, expr := range slices.Concat(goOnlyRegexes, nobodysRegexes) {
		if check.RegexProblem(expr) == "" {
			t.Errorf("%q is accepted", expr)
		}
		if envoysWord(t, expr) == nil {
			t.Errorf("Envoy accepts %q", expr)
		}
	}
	for _, expr := range strictRegexes {
		if check.RegexProblem(expr) == "" {
			t.Errorf("%q is accepted", expr)
		}
	}
}

// wantAccepted reports those of the expressions that Envoy refuses: it halves
// them until each stands alone.
func wantAccepted(t *testing.T, exprs []string) {
	t.Helper()
	err := envoysWord(t, exprs...)
	switch {
	case err == nil:
	case len(exprs) == 1:
		t.Errorf("%q: %v", exprs[0], err)
	default:
		wantAccepted(t, exprs[:len(exprs)/2])
		wantAccepted(t, exprs[len(exprs)/2:])
	}
}

// envoysWord validates a listener with a route for each expression.
func envoysWord(t *testing.T, exprs ...string) error {
	t.Helper()
	type object = map[string]any
	const types = "type.googleapis.com/envoy.extensions.filters."
	var routes []any
	for _, expr := range exprs {
		routes = append(routes, object{"match": object{"safe_regex": object{"regex": expr}}, "direct_response": object{"status": 200}})
	}
	manager := object{
		"@type": types + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "regexes",
		"route_config": object{"virtual_hosts": []any{object{"name": "all", "domains": []string{"*"}, "routes": routes}}},
		"http_filters": []any{object{"name": "router", "typed_config": object{"@type": types + "http.router.v3.Router"}}},
	}
	bootstrap, err := json.Marshal(object{
		"layered_runtime": object{"layers": []any{object{"name": "limits", "static_layer": object{"re2.max_program_size.error_level": 32768}}}},
		"static_resources": object{"listeners": []any{object{
			"name":          "regexes",
			"address":       object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
			"filter_chains": []any{object{"filters": []any{object{"name": "http", "typed_config": manager}}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return envoytest.Validate(t.Context(), bootstrap)
}
