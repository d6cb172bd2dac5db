package passes_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/outboundtest"
)

// TestWitnessesOnEnvoy sends the witness of every fixture's finding about
// traffic through the caller's real Envoy and looks for what it claims.
func TestWitnessesOnEnvoy(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	for _, a := range passes.All() {
		dirs, err := filepath.Glob(string(a.Name) + "/testdata/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			m, _ := onShop(os.DirFS(dir))
			found, _ := analyze.Run(m, []*analyze.Analyzer{a}, analyze.Options{})
			t.Run(dir, func(t *testing.T) { witnesses(t, m, found) })
		}
	}
}

func witnesses(t *testing.T, m *check.Mesh, found diag.List) {
	proxies := map[string]*proxy{}
	for i := range found {
		w := found[i].Witness
		if w == nil || w.Expect.Route == "" || w.Gateway != "" { // gateways run in test/feature
			continue
		}
		if proxies[w.From] == nil {
			proxies[w.From] = runProxy(t, m, w.From)
		}
		if err := proxies[w.From].shows(t, w); err != nil {
			t.Errorf("%s: %s: %v", found[i].Span, w, err)
		}
	}
}

// proxy is a caller's Envoy with one upstream for everything.
type proxy struct {
	address string
	echo    *envoytest.Echo
}

func runProxy(t *testing.T, m *check.Mesh, workload string) *proxy {
	p := &proxy{echo: envoytest.RunEcho(t, "any", "")}
	endpoints := map[string][]string{}
	for _, s := range []string{"catalog", "payment"} {
		for _, version := range []string{"", "v1", "v2"} {
			endpoints[fmt.Sprintf("outbound|8080|%s|%s.shop", version, s)] = []string{p.echo.Address()}
		}
	}
	p.address = outboundtest.Run(t, m, workload, endpoints)
	return p
}

func (p *proxy) shows(t *testing.T, w *diag.Witness) error {
	delay, _ := time.ParseDuration(w.Expect.UpstreamDelay)
	p.echo.Answer("", envoytest.Answer{Status: int(w.Expect.UpstreamStatus), Delay: delay})
	p.echo.Reset()
	headers := http.Header{}
	for name, value := range w.Headers {
		headers.Set(name, value)
	}
	got, err := envoytest.Send(t.Context(), p.address, envoytest.Request{Method: w.Method, Host: w.To, Path: w.Path, Headers: headers})
	if err != nil {
		return err
	}
	switch route, tries := got.Headers.Get(outboundtest.RouteHeader), len(p.echo.Received()); {
	case route != w.Expect.Route:
		return fmt.Errorf("Envoy's route is %q", route)
	case w.Expect.Status != 0 && got.Status != int(w.Expect.Status):
		return fmt.Errorf("Envoy answers %d", got.Status)
	case w.Expect.Tries != 0 && tries != int(w.Expect.Tries):
		return fmt.Errorf("the destination received %d tries", tries)
	}
	return nil
}
