package authz_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/mesh-compile/mesh-compile/agent/authz"
)

// pack makes the bundle of one module.
func pack(t testing.TB, rego string) []byte {
	t.Helper()
	b := bundle.Bundle{
		Modules: []bundle.ModuleFile{{Path: "/policy.rego", URL: "/policy.rego", Raw: []byte(rego)}},
		Data:    map[string]any{},
	}
	b.Manifest.Init()
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func request(method, path, principal string) *authv3.CheckRequest {
	socket := func(ip string, port uint32) *corev3.Address {
		return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: socket("10.0.0.1", 40000), Principal: principal},
		Destination: &authv3.AttributeContext_Peer{Address: socket("10.0.0.2", 8080)},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: method, Path: path, Host: "catalog:8080", HeaderMap: lines("x-team", "shop", "x-two", "1", "x-two", "2"),
		}},
	}}
}

// lines are pairs of name and value, as Envoy sends them with encode_raw_headers.
func lines(pairs ...string) *corev3.HeaderMap {
	out := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		out.Headers = append(out.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return out
}

// ask returns the HTTP status of a decision and its rule.
func ask(t testing.TB, s *authz.Server, r *authv3.CheckRequest) (int, string) {
	t.Helper()
	answer, err := s.Check(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	rule := answer.GetDynamicMetadata().GetFields()["rule"].GetStringValue()
	if answer.GetStatus().GetCode() == 0 && answer.GetOkResponse() != nil {
		return 200, rule
	}
	return int(answer.GetDeniedResponse().GetStatus().GetCode()), rule
}

const head = "package mesh_compile.authz\n"

func TestDecisions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rego   string
		status int
	}{
		"allow":               {`decision := {"allow": true, "rule": "r1"}`, 200},
		"deny":                {`decision := {"allow": false, "rule": "r1"}`, 403},
		"undefined":           {`decision := {"allow": true} if input.attributes.request.http.method == "PUT"`, 403},
		"boolean rule":        {`allow if input.attributes.request.http.method == "GET"`, 200},
		"not a decision":      {`decision := "yes"`, 503},
		"allow is no boolean": {`decision := {"allow": "yes"}`, 503},
		"runtime error":       {"decision := {\"allow\": x}\nx := true if input.parsed_path[0] == \"shop\"\nx := false if input.parsed_path[1] == \"a/b\"", 503},
		"principal":           {`decision := {"allow": input.attributes.source.principal == "spiffe://a/b", "rule": ""}`, 200},
		"port":                {`decision := {"allow": input.attributes.destination.address.socketAddress.portValue == 8080}`, 200},
		"host and path":       {`decision := {"allow": concat(" ", [input.attributes.request.http.host, input.attributes.request.http.path]) == "catalog:8080 /shop/a%2Fb?q=1&q=2"}`, 200},
		"parsed path":         {`decision := {"allow": input.parsed_path == ["shop", "a/b"]}`, 200},
		"parsed query":        {`decision := {"allow": input.parsed_query.q == ["1", "2"]}`, 200},
		"headers":             {`decision := {"allow": input.attributes.request.http.headers["x-team"] == "shop"}`, 200},
		"joined lines":        {`decision := {"allow": input.attributes.request.http.headers["x-two"] == "1,2"}`, 200},
		"lines":               {`decision := {"allow": input.attributes.request.http.headerLines["x-two"] == ["1", "2"]}`, 200},
		"headers by alias":    {"import input.attributes as a\ndecision := {\"allow\": a.request.http.headers[\"x-team\"] == \"shop\"}", 200},
		"headers by variable": {"decision := {\"allow\": true} if { some k; input.attributes.request.http[k][\"x-team\"] == \"shop\" }", 200},
		"whole input":         {"decision := {\"allow\": true} if { x := input; x.parsed_query.q[0] == \"1\" }", 200},
		"endless":             {`decision := {"allow": count([1 | some a in numbers.range(1, 1000); some b in numbers.range(1, 1000); some c in numbers.range(1, 1000); a + b + c == 0]) == 0}`, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := authz.NewServer()
			if err := s.Load(t.Context(), pack(t, head+c.rego)); err != nil {
				t.Fatal(err)
			}
			if got, _ := ask(t, s, request("GET", "/shop/a%2Fb?q=1&q=2", "spiffe://a/b")); got != c.status {
				t.Errorf("status %d, want %d: %+v", got, c.status, s.Decisions())
			}
		})
	}
}

func TestWithoutPolicyEverythingIsDenied(t *testing.T) {
	t.Parallel()
	s := authz.NewServer()
	if got, _ := ask(t, s, request("GET", "/", "")); got != 503 {
		t.Errorf("status %d, want 503", got)
	}
}

func TestBundleCannotReachOut(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		`http.send({"method": "get", "url": "http://127.0.0.1/"})`, `net.lookup_ip_addr("localhost")`, `opa.runtime()`,
	} {
		err := authz.NewServer().Load(t.Context(), pack(t, head+"decision := {\"allow\": true} if "+call))
		if err == nil || !strings.Contains(err.Error(), "undefined function") {
			t.Errorf("%s: got %v", call, err)
		}
	}
}

func TestBadBundleLeavesThePolicy(t *testing.T) {
	t.Parallel()
	s := authz.NewServer()
	if err := s.Load(t.Context(), pack(t, head+`decision := {"allow": true, "rule": "r1"}`)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{{}, []byte("no tar"), pack(t, "package other\nallow := true")} {
		if err := s.Load(t.Context(), bad); err == nil {
			t.Errorf("bundle %.20q is taken", bad)
		}
	}
	if got, rule := ask(t, s, request("GET", "/", "")); got != 200 || rule != "r1" {
		t.Errorf("status %d by %q, want 200 by r1", got, rule)
	}
}

func TestLogIsBoundedAndHoldsNoQuery(t *testing.T) {
	t.Parallel()
	s := authz.NewServer()
	for i := range 300 {
		ask(t, s, request("GET", fmt.Sprintf("/%d?token=secret", i), ""))
	}
	all := s.Decisions()
	if len(all) != 256 || all[0].Path != "/44" || all[255].Path != "/299" {
		t.Errorf("%d decisions from %q to %q", len(all), all[0].Path, all[len(all)-1].Path)
	}
	if n := s.Counts(); n.Failed != 300 {
		t.Errorf("%+v", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	s := authz.NewServer()
	rego := head + "default decision := {\"allow\": false}\n" +
		`decision := {"allow": true, "rule": "r1"} if { input.attributes.source.principal == "spiffe://a/b"; startswith(input.attributes.request.http.path, "/shop") }`
	if err := s.Load(b.Context(), pack(b, rego)); err != nil {
		b.Fatal(err)
	}
	r := request("GET", "/shop/a", "spiffe://a/b")
	for b.Loop() {
		if status, _ := ask(b, s, r); status != 200 {
			b.Fatal(status)
		}
	}
}
