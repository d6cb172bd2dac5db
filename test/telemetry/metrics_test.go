package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// TestMetrics sends a known load and asks a real Prometheus of it: how many requests a
// second from whom to which version by which route, and how many of them failed.
func TestMetrics(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	compiled, diags := compiler.Compile(os.DirFS("testdata/metrics"), compiler.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	workloads := []string{"shop/order", "shop/catalog-v1", "shop/catalog-v2"}
	run, err := meshtest.Start(t.Context(), compiled.Mesh, workloads...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.Close)
	for _, w := range workloads[1:] {
		run.Echoes(w)[0].Answer("/items/broken", envoytest.Answer{Status: http.StatusInternalServerError})
	}
	prometheus := startPrometheus(t, run, workloads)
	load := startLoad(t, run.Outbound("shop/order"))

	const items = `reporter="source", source="shop/order", destination="catalog.shop", route="MeshRoute/shop/catalog/items"`
	for what, query := range map[string]struct {
		promql string
		want   func(window time.Duration) float64
	}{
		"requests a second": {
			`sum(rate(envoy_mesh_requests_total{` + items + `}[10s]))`, load.rate},
		"as the destinations count them": {
			`sum(rate(envoy_mesh_requests_total{reporter="destination", source="spiffe://shop.example/ns/shop/sa/order", destination="catalog.shop", version=~"v1|v2"}[10s]))`, load.rate},
		"the share of errors": {
			`sum(rate(envoy_mesh_requests_total{` + items + `, response_class="5xx"}[10s])) / sum(rate(envoy_mesh_requests_total{` + items + `}[10s]))`,
			func(time.Duration) float64 { return 1. / failing }},
	} {
		t.Run(what, func(t *testing.T) {
			eventually(t, func() error {
				got, err := prometheus.value(t.Context(), query.promql)
				if err != nil {
					return err
				}
				if want := query.want(10 * time.Second); math.Abs(got/want-1) > 0.01 {
					return fmt.Errorf("Prometheus says %g, want %g", got, want)
				}
				return nil
			})
		})
	}
	load.stop()
	t.Run("totals", func(t *testing.T) { totals(t, prometheus, run, load, items) })
	t.Run("strangers make no series", func(t *testing.T) { strangers(t, prometheus, run, float64(load.count())) })
	t.Run("gRPC", func(t *testing.T) { statuses(t, prometheus, run) })
	t.Run("dashboards", func(t *testing.T) { dashboards(t, prometheus) })
}

// totals are exact when the load is over.
func totals(t *testing.T, p *prometheus, run *meshtest.Mesh, l *load, items string) {
	all := l.count()
	want := map[string]float64{
		`sum(envoy_mesh_request_duration_milliseconds_count{` + items + `})`:  float64(all), // Envoy merges every 5 s
		`sum(envoy_mesh_requests_total{` + items + `})`:                       float64(all),
		`sum(envoy_mesh_requests_total{` + items + `, response_class="5xx"})`: float64(all / failing),
	}
	for _, v := range []string{"v1", "v2"} {
		want[`sum(envoy_mesh_requests_total{`+items+`, version="`+v+`"})`] = float64(run.Echoes("shop/catalog-" + v)[0].Count("", ""))
	}
	for query, n := range want {
		eventually(t, func() error {
			if got, err := p.value(t.Context(), query); err != nil || got != n {
				return fmt.Errorf("%s is %g, want %g: %w", query, got, n, err)
			}
			return nil
		})
	}
}

// strangers ask for what nobody knows, each time for something else.
func strangers(t *testing.T, p *prometheus, run *meshtest.Mesh, before float64) {
	ask := func(i int) {
		for _, r := range []envoytest.Request{
			{Host: fmt.Sprintf("nobody-%d.example.com", i), Absolute: true},
			{Host: "catalog.shop:8080", Path: fmt.Sprintf("/admin/%d", i), Absolute: true},
			{Host: "catalog.shop:8080", Path: fmt.Sprintf("/%d?x=%[1]d", i), Absolute: true, Headers: http.Header{"X-Request-Id": {fmt.Sprint(i)}, "User-Agent": {fmt.Sprint(i)}}},
		} {
			if _, err := envoytest.Send(t.Context(), run.Outbound("shop/order"), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	// series are how many there are when all requests of n strangers are counted.
	series := func(n float64) (count float64) {
		for query, want := range map[string]float64{
			`sum(envoy_mesh_requests_total{reporter="source"})`:      before + 3*n,
			`sum(envoy_mesh_requests_total{reporter="destination"})`: before + 2*n, // the first got nowhere
		} {
			eventually(t, func() error {
				if got, err := p.value(t.Context(), query); err != nil || got != want {
					return fmt.Errorf("%s is %g, want %g: %w", query, got, want, err)
				}
				return nil
			})
		}
		count, err := p.value(t.Context(), `count(envoy_mesh_requests_total)`)
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	ask(0)
	few := series(1)
	const n = 30
	for i := range n {
		ask(1 + i)
	}
	if many := series(1 + n); many != few {
		t.Errorf("%g series after one stranger, %g after %d", few, many, 1+n)
	}
}

// statuses of gRPC are counted beside HTTP's 200; who invents one makes no series.
func statuses(t *testing.T, p *prometheus, run *meshtest.Mesh) {
	echo := run.Echoes("shop/catalog-v1")[0]
	for _, status := range []string{"5", "77", "78"} {
		echo.Answer("/grpc/"+status, envoytest.Answer{Headers: http.Header{"Content-Type": {"application/grpc"}, "Grpc-Status": {status}}})
		if _, err := envoytest.Send(t.Context(), run.Outbound("shop/order"), envoytest.Request{
			Method: http.MethodPost, Host: "catalog.shop:8080", Path: "/grpc/" + status, Absolute: true, Headers: http.Header{"Content-Type": {"application/grpc"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]float64{
		`sum(envoy_mesh_grpc_requests_total{reporter="source"})`:                    3,
		`sum(envoy_mesh_grpc_requests_total{reporter="source", grpc_status="5"})`:   1,
		`sum(envoy_mesh_grpc_requests_total{reporter="source", grpc_status="2"})`:   2,
		`count(envoy_mesh_grpc_requests_total{reporter="source"})`:                  2,
		`sum(envoy_mesh_grpc_requests_total{reporter="destination", version="v1"})`: 3,
	} {
		eventually(t, func() error {
			if got, err := p.value(t.Context(), query); err != nil || got != want {
				return fmt.Errorf("%s is %g, want %g: %w", query, got, want, err)
			}
			return nil
		})
	}
}

// dashboards: every query about traffic has an answer.
func dashboards(t *testing.T, p *prometheus) {
	text, err := os.ReadFile("../../deploy/monitoring/traffic.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries++
			expr := strings.NewReplacer("$__rate_interval", "5m", "$source", ".*", "$destination", ".*").Replace(target.Expr)
			if _, err := p.value(t.Context(), expr); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, expr, err)
			}
		}
	}
	if queries < 6 {
		t.Errorf("%d queries", queries)
	}
}

// failing is every how manieth request of the load fails.
const failing = 10

// load asks for items at an even pace until it is stopped.
type load struct {
	mu    sync.Mutex
	ended []time.Time
	stop  func()
}

func startLoad(t *testing.T, proxy string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{}
	var all sync.WaitGroup
	l.stop = func() { cancel(); all.Wait() }
	t.Cleanup(l.stop)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	all.Go(func() {
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for n := 1; ctx.Err() == nil || n%failing != 1; n++ { // whole rounds
			<-pace.C
			path, want := "/items", http.StatusOK
			if n%failing == 0 {
				path, want = "/items/broken", http.StatusInternalServerError
			}
			got, err := envoytest.SendOver(context.WithoutCancel(ctx), transport, proxy, envoytest.Request{
				Host: "catalog.shop:8080", Path: path, Absolute: true})
			if err != nil || got.Status != want {
				t.Errorf("%s: status %d, want %d: %v", path, got.Status, want, err)
				return
			}
			l.mu.Lock()
			l.ended = append(l.ended, time.Now())
			l.mu.Unlock()
		}
	})
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ended)
}

// rate is of the requests that ended in the last while, by second.
func (l *load) rate(window time.Duration) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for i := len(l.ended) - 1; i >= 0 && time.Since(l.ended[i]) < window; i-- {
		n++
	}
	return float64(n) / window.Seconds()
}

// prometheus is a real one.
type prometheus struct{ address string }

// startPrometheus scrapes the Envoys four times a second. Their admin interface is a
// Unix socket; the agent passes it on at /metrics, and here this test does.
func startPrometheus(t *testing.T, run *meshtest.Mesh, workloads []string) *prometheus {
	t.Helper()
	program := tools.Require(t, "prometheus")
	dir, ip := t.TempDir(), envoytest.Loopback()
	port, err := envoytest.FreePort(ip)
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{net.JoinHostPort(ip, strconv.Itoa(port))}
	var targets []string
	for _, w := range workloads {
		proxy := run.Envoys(w)[0]
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			page, err := proxy.Admin("/stats/prometheus")
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			w.Write(page) //nolint:errcheck // Prometheus says so
		}))
		t.Cleanup(server.Close)
		targets = append(targets, strconv.Quote(strings.TrimPrefix(server.URL, "http://")))
	}
	rules, err := filepath.Abs("../../deploy/monitoring/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yaml")
	text := fmt.Sprintf("global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs: [{job_name: proxies, static_configs: [{targets: [%s]}]}]\n", rules, strings.Join(targets, ", "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+p.address, "--log.level=warn")
	cmd.WaitDelay = 10 * time.Second
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it has ended
		cmd.Wait()         //nolint:errcheck // it was killed
		if t.Failed() {
			t.Logf("prometheus: %s", log)
		}
	})
	return p
}

// value is of a query whose answer is one number, or the first of several.
func (p *prometheus) value(ctx context.Context, query string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" || len(answer.Data.Result) == 0 {
		return 0, fmt.Errorf("%s: %s %s, %d results", query, answer.Status, answer.Error, len(answer.Data.Result))
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	return strconv.ParseFloat(text, 64)
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := envoytest.Until(ctx, check); err != nil {
		t.Error(err)
	}
}
