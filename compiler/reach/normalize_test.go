package reach

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// What Envoy makes of a path; "" is a 400. TestNormalizeAsEnvoy asks Envoy.
var normalized = map[string]string{
	"/a/b":          "/a/b",
	"/a/./b":        "/a/b",
	"/a/../b":       "/b",
	"/a/..":         "/",
	"/a/b/..":       "/a/",
	"/a/.":          "/a/",
	"/..":           "/",
	"/../a":         "/a",
	"/a/...":        "/a/...",
	"/a/.b":         "/a/.b",
	"/a/..b":        "/a/..b",
	"/a/%2e/b":      "/a/b",
	"/a/%2E%2e/b":   "/b",
	"/a/.%2e":       "/",
	"/x//a//b///":   "/x/a/b/",
	"/a//../b":      "/a/b",
	"//":            "//",
	"///":           "//",
	"/..//":         "//",
	"/x/.;a/y":      "/x/y",
	"/x/..;a/y":     "/y",
	"/x/%2E.;/y":    "/x/..;/y", // and the next proxy makes it "/y"
	"/x/..%3ba/y":   "/x/..%3ba/y",
	"/x/...;a/y":    "/x/...;a/y",
	"/x/..;a\\b/y":  "/y",
	"/x;a/y":        "/x;a/y",
	"/a%%412":       "/a%25A2",
	"/a%%30%30":     "/a%2500",
	"/a%2%41b":      "/a%252Ab",
	"/a%%41z":       "/a%Az",
	"/a%%41":        "/a%A",
	"/%zz%41":       "/%zzA",
	`/a\b`:          "/a/b",
	`/a\..\b`:       "/b",
	"/%61%7E%2d":    "/a~-",
	"/a%20b":        "/a%20b",
	"/a%3fb":        "/a%3fb",
	"/a%2Bb":        "/a%2Bb",
	"/a%":           "/a%",
	"/a%zz":         "/a%zz",
	"/a%2":          "/a%2",
	"/a%00b":        "",
	"/a%2fb":        "",
	"/a%5Cb":        "",
	"/a%252fb":      "/a%252fb",
	"/a#b":          "",
	"/a?x=%2f":      "/a?x=%2f",
	"/a?x=/../b//c": "/a?x=/../b//c",
	"/a/..?x=1":     "/?x=1",
	"/a?":           "/a?",
	"/{a}|b^c`d":    "/%7Ba%7D%7Cb%5Ec%60d",
	`/a"b<c>d`:      "/a%22b%3Cc%3Ed",
	"/a;b=1,2/c!$":  "/a;b=1,2/c!$",
	"/a[1]'(2)*+@:": "/a[1]'(2)*+@:",
	"/%C3%A9":       "/%C3%A9",
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	settings := &check.Settings{MergeSlashes: true, RejectEscapedSlashes: true}
	for path, want := range normalized {
		m := newMessage(&Request{To: "a:80", Path: path})
		got := ""
		if m.normalize(settings) == "" {
			got = m.pathAndQuery()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestNormalizeAsEnvoy(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	address := startEnvoy(t, "testdata/normalize.json")
	for path, want := range normalized {
		resp, err := envoytest.Send(t.Context(), address, envoytest.Request{Host: "a", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		got := resp.Headers.Get("x-seen")
		if resp.Status != 200 && resp.Status != 400 {
			t.Errorf("%s: status %d", path, resp.Status)
		}
		if got != want {
			t.Errorf("%s: Envoy has %q, the table %q", path, got, want)
		}
	}
}

// startEnvoy runs a bootstrap on a free address, which it returns.
func startEnvoy(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ip := envoytest.Loopback()
	port, err := envoytest.FreePort(ip)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Run(t, envoytest.Options{Bootstrap: []byte(strings.NewReplacer(
		"LISTEN_IP", ip, `"LISTEN_PORT"`, fmt.Sprint(port)).Replace(string(text)))})
	return net.JoinHostPort(ip, fmt.Sprint(port))
}
