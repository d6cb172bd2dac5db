package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFleetWatch prints a fleet once for each change, and ends with 0 when it is
// interrupted.
func TestFleetWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++ // one request at a time
		if asked == 4 {
			cancel()
		}
		fmt.Fprintf(w, `{"version": 1, "live": {"sequence": %d}, "fleet": {"proxies": []}}`, 1+asked/3)
	}))
	defer server.Close()
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{"fleet", "--watch", "--server", server.URL}, nil, &stdout, &stderr)
	if status != 0 || strings.Count(stdout.String(), "WORKLOAD") != 2 || !strings.Contains(stderr.String(), "release 2: 0 of 0 proxies") {
		t.Errorf("exit status %d, %d requests\n%s\n%s", status, asked, &stdout, &stderr)
	}
}
