package main

import (
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	all := []string{"--workload", "shop/catalog", "--root", "/nowhere/root", "--state-dir", t.TempDir(), "--envoy", "/nowhere/envoy"}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--help"}, 0, "mesh-agent gets the workload's certificate"},
		{[]string{"--version"}, 0, "mesh-agent version"},
		{nil, exitUsage, `required flag(s) "root", "state-dir", "workload" not set`},
		{[]string{"--no-such-flag"}, exitUsage, "unknown flag"},
		{append(all, "--bind-address", "here"), exitUsage, `bind address "here": want IP or LISTENER=IP`},
		{append(all, "--app-address", "80=here"), exitUsage, `application address "80=here": want IP or PORT=IP:PORT`},
		{append(all, "--log-level", "loud"), exitUsage, "want debug, info, warn or error"},
		{all, exitFailed, "asking /nowhere/envoy for its version"},
	} {
		var out, errs strings.Builder
		status := run(t.Context(), c.args, &out, &errs)
		if status != c.status || !strings.Contains(out.String()+errs.String(), c.says) {
			t.Errorf("%q: status %d, want %d; want words %q, got\n%s%s", c.args, status, c.status, c.says, out.String(), errs.String())
		}
	}
}
