package reach_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/outboundtest"
)

// TestRoutesAsEnvoy sends the customer's requests of testdata/shop.txtar through
// an Envoy with the customer's slice, and compares what it does with what the
// evaluator says: status and location, or version, path, host and headers as
// the destination received them.
func TestRoutesAsEnvoy(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	archive, err := txtar.ParseFile("testdata/shop.txtar")
	if err != nil {
		t.Fatal(err)
	}
	input, requests := fstest.MapFS{}, ""
	for _, f := range archive.Files {
		if f.Name == "requests" {
			requests = string(f.Data)
		} else if strings.HasSuffix(f.Name, ".yaml") {
			input[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	m := compile(t, input)
	e, address := reach.New(m), runCustomer(t, m)
	for line := range strings.Lines(requests) {
		r := request(strings.Fields(line))
		if r.From != "shop/customer" {
			continue
		}
		want, err := e.Evaluate(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := sameAsEnvoy(t, address, &r, &want.Route); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
}

// runCustomer starts the customer's outbound side; the versions of the catalog
// are echoes.
func runCustomer(t *testing.T, m *check.Mesh) string {
	t.Helper()
	endpoints := map[string][]string{}
	for _, version := range []string{"v1", "v2"} {
		endpoints["outbound|8080|"+version+"|catalog.shop"] = []string{envoytest.RunEcho(t, "catalog", version).Address()}
	}
	return outboundtest.Run(t, m, "shop/customer", endpoints)
}

func sameAsEnvoy(t *testing.T, address string, r *reach.Request, want *reach.Route) error {
	headers := http.Header{}
	for name, values := range r.Headers {
		headers[http.CanonicalHeaderKey(name)] = values
	}
	got, err := envoytest.Send(t.Context(), address, envoytest.Request{Method: r.Method, Host: r.To, Path: r.Path, Headers: headers})
	if err != nil {
		return err
	}
	if by := got.Headers.Get(outboundtest.RouteHeader); want.Rule != nil && by != want.Rule.ID {
		return fmt.Errorf("Envoy's route is %q, the evaluator's %q", by, want.Rule.ID)
	}
	if want.Action != reach.ActionRoute {
		if location := got.Headers.Get("location"); uint32(got.Status) != want.Status || location != want.Location {
			return fmt.Errorf("Envoy answers %d %q, the evaluator says %d %q", got.Status, location, want.Status, want.Location)
		}
		return nil
	}
	seen, err := got.Received()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(want.Destinations, func(d reach.Destination) bool { return d.Backend.Version == seen.Version }) {
		return fmt.Errorf("Envoy asked version %s", seen.Version)
	}
	if seen.Query != "" {
		seen.Path += "?" + seen.Query
	}
	if seen.Path != want.Upstream.Path || seen.Host != want.Upstream.Host {
		return fmt.Errorf("the destination received %s of %s, the evaluator says %s of %s", seen.Path, seen.Host, want.Upstream.Path, want.Upstream.Host)
	}
	for name := range r.Headers {
		have, say := http.Header(seen.Headers).Values(name), want.Upstream.Headers[strings.ToLower(name)]
		if !slices.Equal(have, say) {
			return fmt.Errorf("the destination received %s %q, the evaluator says %q", name, have, say)
		}
	}
	return nil
}
