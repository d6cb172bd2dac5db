package feature_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// TestDifferential asks of evaluator and Envoy what nobody thought of: the cases'
// requests with parts of them replaced at random, from a fixed seed. REQUESTS
// says how many for each feature.
func TestDifferential(t *testing.T) {
	envoytest.Require(t)
	n := 200
	if text := os.Getenv("REQUESTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"access", "caller", "external", "gatewayapi-consumer", "gatewayapi-headers", "gatewayapi-match", "gatewayapi-precedence", "gatewayapi-redirect", "gatewayapi-rewrite", "headers", "istio-access", "istio-route", "linkerd-access", "match", "normalize", "path", "redirect", "rewrite", "scope",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			differential(t, filepath.Join(features, name), n)
		})
	}
}

func differential(t *testing.T, dir string, n int) {
	m := compile(t, dir)
	results := policytest.Run(m)
	running := start(t, "", m, results)
	evaluator := reach.New(m)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same requests each time
	requests := make(chan *reach.Result)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for want := range requests {
				same(t, running, want)
			}
		})
	}
	for range n {
		r := mutate(random, results[random.IntN(len(results))].Request)
		want, err := evaluator.Evaluate(r)
		if err != nil {
			t.Errorf("%+v: %v", r, err)
			continue
		}
		if sendable(&want) {
			requests <- &want
		}
	}
	close(requests)
	all.Wait()
}

// sendable: a caller without a proxy needs somebody to call, and a proxy that may
// go anywhere would leave this machine.
func sendable(want *reach.Result) bool {
	if want.Caller == nil {
		return len(want.Route.Destinations) > 0
	}
	return want.Port != nil || !want.Caller.AllowAnyEgress
}

func same(t *testing.T, running *meshtest.Mesh, want *reach.Result) {
	got, err := running.Ask(t.Context(), want)
	if err != nil {
		t.Errorf("%s: %v", reach.Text(want, ""), err)
		return
	}
	for _, d := range meshtest.Compare(want, &got) {
		t.Errorf("%s\nheaders %q: %s\n\tEnvoy: %s", strings.TrimSpace(reach.Text(want, "")), want.Request.Headers, d, &got)
	}
}

// What Envoy's codec of HTTP/1.1 refuses, and its codec of HTTP/2 does not, is not
// here: methods that it does not know, bytes beyond ASCII in paths.
var (
	methods = []string{"GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"}
	pieces  = []string{
		"/", "//", "/.", "/..", "/./", "/../", "/...", "%2f", "%2F", "%5c", "%2e", "%2E%2e", "%41", "%61", "%7e", "%00", "%zz", "%", "%2",
		";", ";x=1", "?", "?a=b", "?v=2", "&v=2", "&v", "=", "\\", "\\..", "A", "a", "x", "0", "~", "!", "'", "(", "|", "{", "\"", "<", "^", "`", "+", ":",
		"@", ",", "*", "admin", "/items", "/v1", "#", "#x", "[", "_", "-", ".",
	}
	names  = []string{"x-team", "x-user", "x-debug", "cookie", "user-agent", "x-old", "origin", "x_team", "x-add", "x-remove", "x-envoy-original-path", "x-forwarded-for", "x-empty"}
	values = []string{"", "blue", "Blue", "blues", "bl", "ue", "a,blue", "1", "2", "v=2", "a=1; v=2", "v=\"2\"", "Chrome", "\xc3\xa9", "100%", "%2f", "gzip, br"}
)

// mutate replaces one to three parts of a request.
func mutate(random *rand.Rand, r reach.Request) reach.Request {
	r.Headers = clone(r.Headers)
	for range 1 + random.IntN(3) {
		switch random.IntN(6) {
		case 0:
			r.Method = pick(random, methods)
		case 1:
			name := pick(random, names)
			if name == "user-agent" { // net/http writes one
				r.Headers[name] = nil
			}
			r.Headers[name] = append(r.Headers[name], pick(random, values))
		case 2:
			r.Headers = map[string][]string{}
		case 3:
			host, port, _ := strings.Cut(r.To, ":")
			r.To = pick(random, []string{strings.ToUpper(host) + ":" + port, host + ".svc:" + port, host + ":8081", "x" + host + ":" + port})
		default:
			at := 1 + random.IntN(max(1, len(r.Path)))
			at = min(at, len(r.Path))
			r.Path = r.Path[:at] + pick(random, pieces) + r.Path[at:]
		}
	}
	return r
}

func pick(random *rand.Rand, list []string) string { return list[random.IntN(len(list))] }

func clone(headers map[string][]string) map[string][]string {
	out := map[string][]string{}
	for name, values := range headers {
		out[name] = slices.Clone(values)
	}
	return out
}
