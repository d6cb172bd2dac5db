package hystrix

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

var update = flag.Bool("update", false, "rewrite the converted policies of the feature")

const feature = "../../../testdata/feature/hystrix/"

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(feature + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFeature: the policies that real Envoys are shown are what the properties become.
func TestFeature(t *testing.T) {
	got, diags, err := Convert("hystrix.properties", read(t, "hystrix.properties"), Options{
		Namespace: "shop", Services: map[string]string{"GetCatalog": "catalog", "Charge": "payment"},
	})
	if err != nil || len(diags) > 0 {
		t.Fatal(err, diags)
	}
	if *update {
		if err := os.WriteFile(feature+"policies.yaml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, "policies.yaml"), string(got)); diff != "" {
		t.Errorf("(-want +got), rewrite with -update:\n%s", diff)
	}
}

// TestProperties: the format of java.util.Properties.
func TestProperties(t *testing.T) {
	got, err := parse("f", "# no\n! no\n\n  a = b \nc:d\ne f\ng\nh\\:i=j\\\n   k\\u0041\\t\r\nl\\\\=m\nn = = o\n")
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, p := range got {
		text = append(text, p.at.String()+" "+p.key+"|"+p.value)
	}
	want := []string{"f:4:3 a|b", "f:5:1 c|d", "f:6:1 e|f", "f:7:1 g|", "f:8:1 h:i|jkA\t", `f:10:1 l\|m`, "f:11:1 n|= o"}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"a=\\u00", "a=\\uzzzz", "\xff=1"} {
		if _, err := parse("f", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestEveryProperty: each property that Hystrix has changes what is written, or is listed.
func TestEveryProperty(t *testing.T) {
	other := map[string]string{
		timeout: "1234", timeoutOld: "1234", timeoutEnabled: "false", poolOverride: "wide",
		breaker: "false", volume: "7", window: "1234", percentage: "12", forceOpen: "true", forceClosed: "true", rolling: "1234",
		coreSize: "12", queueSize: "3",
	}
	const wide = "hystrix.threadpool.wide.coreSize=77\nhystrix.command.Wide.threadPoolKeyOverride=wide\n"
	convert := func(text string) (string, diag.List) {
		t.Helper()
		got, diags, err := Convert("f", wide+text, Options{Namespace: "n", Services: map[string]string{"A": "a"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(got), diags
	}
	before, _ := convert("")
	for _, name := range slices.Sorted(maps.Keys(other)) {
		line := "hystrix.command.A." + name + "=" + other[name]
		if name == coreSize || name == queueSize {
			line = "hystrix.threadpool.A." + name + "=" + other[name]
		}
		if got, diags := convert(line); got == before || len(diags) > 0 {
			t.Errorf("%s changes nothing: %v", line, diags)
		}
	}
	for line, more := range map[string]string{
		semaphore: "hystrix.command.A." + strategy + "=SEMAPHORE\nhystrix.command.A." + semaphore + "=99",
		strategy:  "hystrix.command.A." + semaphore + "=99\nhystrix.command.A." + strategy + "=SEMAPHORE",
		rejection: "hystrix.threadpool.A." + queueSize + "=100\nhystrix.threadpool.A." + rejection + "=77",
		diverge:   "hystrix.threadpool.A." + maximumSize + "=99\nhystrix.threadpool.A." + diverge + "=true",
	} {
		first, _, _ := strings.Cut(more, "\n")
		without, _ := convert(first)
		if got, diags := convert(more); got == without || len(diags) > 0 {
			t.Errorf("%s changes nothing: %v", line, diags)
		}
	}
	for prefix, left := range map[string]map[string]string{"hystrix.command.A.": commandLeft, "hystrix.threadpool.A.": poolLeft} {
		for name := range left {
			if _, diags := convert(prefix + name + "=1"); len(diags) != 1 || diags[0].Severity != diag.Warning || diags[0].Span.Start.Line != 3 {
				t.Errorf("%s%s: want one warning with its line, got %v", prefix, name, diags)
			}
		}
	}
}

// TestWrong: a wrong value has its place, and no other value is taken for it.
func TestWrong(t *testing.T) {
	for line, want := range map[string]string{
		"hystrix.command.A." + timeout + "=0":                                                 `"0": want a whole number from 1`,
		"hystrix.command.A." + timeout + "=1s":                                                `"1s": want a whole number`,
		"hystrix.command.A." + percentage + "=101":                                            `"101": want a whole number from 1 to 100`,
		"hystrix.command.A." + breaker + "=maybe":                                             `"maybe": want true or false`,
		"hystrix.command.A." + strategy + "=FIBER":                                            `"FIBER": want THREAD or SEMAPHORE`,
		"hystrix.command.A." + semaphore + "=٣\nhystrix.command.A." + strategy + "=SEMAPHORE": `"٣": want a whole number`,
		"hystrix.command.a#b(c)." + timeout + "=1":                                            `calls service "a-b-c-", which is no name of a Service`,
		"hystrix.command.A.nonsense=1":                                                        "hystrix.command.A.nonsense has no counterpart",
		"hystrix.stream=1":                                                                    "hystrix.stream has no counterpart",
		"other=1":                                                                             "other has no counterpart",
		"hystrix.threadpool.lost.coreSize=1":                                                  "hystrix.threadpool.lost.coreSize has no counterpart",
		"hystrix.command.a." + timeout + "=2":                                                 `calls service a as command "A" does`,
	} {
		_, diags, err := Convert("f", line, Options{Namespace: "n", Services: map[string]string{"A": "a"}})
		if err != nil || len(diags) != 1 || !strings.Contains(diags[0].Message, want) || diags[0].Span.Start.Line != 1 || diags[0].Fix == nil && diags[0].Severity < diag.Error {
			t.Errorf("%s: want %q, got %v %v", line, want, diags, err)
		}
	}
}

// FuzzConvert: whatever a file holds, what is written are YAML documents.
func FuzzConvert(f *testing.F) {
	f.Add("hystrix.command.A." + timeout + "=5")
	f.Add("hystrix.command.A\\n- b: #." + forceOpen + "=true")
	f.Add("hystrix.threadpool.default.coreSize=\\u0031")
	f.Fuzz(func(t *testing.T, text string) {
		out, _, err := Convert("f", text, Options{Namespace: "n"})
		if err != nil {
			return
		}
		for _, doc := range strings.Split(string(out), "\n---\n")[1:] {
			var o map[string]any
			if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil || len(o) != 4 {
				t.Fatalf("%v:\n%s", err, doc)
			}
		}
	})
}
