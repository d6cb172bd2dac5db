package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// deniedBy is what the log of a callee says of a request that a rule denied.
const deniedBy = "rbac_access_denied_matched_policy[AccessPolicy/shop/order/no-admin]"

// requests of front to order: one that is answered, one that the application fails,
// one that a rule denies, and what grpc-status may hide in a 200.
func (s *shop) four(t *testing.T) {
	t.Helper()
	echo := s.run.Echoes("shop/order")[0]
	echo.Answer("/fine", envoytest.Answer{})
	echo.Answer("/fails", envoytest.Answer{Status: 500})
	echo.Answer("/grpc", envoytest.Answer{Headers: http.Header{"Grpc-Status": {"13"}}})
	for path, status := range map[string]int{"/fine": 200, "/fails": 500, "/admin": 403, "/grpc": 200} {
		headers := http.Header{}
		if path == "/grpc" {
			headers.Set("Content-Type", "application/grpc")
		}
		answer, err := s.call(t.Context(), "front", "order", path, headers)
		if err != nil || answer.Status != status {
			t.Fatalf("%s: %d, %v", path, answer.Status, err)
		}
	}
}

// line of a log on standard output.
type line struct{ Path, Details, Status string }

// lines waits for so many lines of order's proxy that read finds, and a little longer
// for those that should not come.
func (s *shop) lines(t *testing.T, n int, read func(string) (line, bool)) map[string]line {
	t.Helper()
	var got map[string]line
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	count := func() error {
		got = map[string]line{}
		for _, text := range strings.Split(s.run.Envoys("shop/order")[0].Log(), "\n") {
			if l, ok := read(text); ok {
				got[l.Path] = l
			}
		}
		if len(got) < n {
			return fmt.Errorf("%d lines, want %d", len(got), n)
		}
		return nil
	}
	if err := envoytest.Until(ctx, count); err != nil {
		t.Fatalf("%v in\n%s", err, s.run.Envoys("shop/order")[0].Log())
	}
	time.Sleep(100 * time.Millisecond)
	count() //nolint:errcheck // there are no fewer
	if len(got) != n {
		t.Errorf("%d lines, want %d: %v", len(got), n, got)
	}
	return got
}

func jsonLine(text string) (l line, ok bool) {
	var fields struct {
		Path, Details string
		Status        int
	}
	if json.Unmarshal([]byte(text), &fields) != nil || fields.Path == "" {
		return l, false
	}
	return line{fields.Path, fields.Details, fmt.Sprint(fields.Status)}, true
}

var textFields = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

func textLine(text string) (l line, ok bool) {
	when, rest, _ := strings.Cut(text, " ")
	if _, err := time.Parse(time.RFC3339, when); err != nil {
		return l, false
	}
	fields := map[string]string{}
	for _, m := range textFields.FindAllStringSubmatch(rest, -1) {
		fields[m[1]] = m[2]
	}
	return line{fields["path"], fields["details"], fields["status"]}, fields["path"] != ""
}

func TestAccessLog(t *testing.T) {
	for _, c := range []struct {
		name, accessLog string
		lines           int
		read            func(string) (line, bool)
	}{
		{"json", "{format: json}", 4, jsonLine},
		{"text", "{format: text}", 4, textLine},
		{"errors", "{filter: {errorsOnly: true}}", 3, jsonLine},
		{"some errors", "{format: text, filter: {errorsOnly: true, percent: 100}}", 3, textLine},
		{"disabled", "{disabled: true}", 0, jsonLine},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startShop(t, "accessLog: "+c.accessLog, nil)
			s.four(t)
			got := s.lines(t, c.lines, c.read)
			if c.lines == 0 {
				return
			}
			if denied := got["/admin"]; denied != (line{"/admin", deniedBy, "403"}) {
				t.Errorf("the line of what was denied is %v", denied)
			}
			if _, ok := got["/fine"]; ok != (c.lines == 4) {
				t.Errorf("what went well is logged: %v", ok)
			}
		})
	}
}

// TestAccessLogShare: half of 400 lines, within five standard deviations.
func TestAccessLogShare(t *testing.T) {
	s := startShop(t, "accessLog: {filter: {percent: 50}}", nil)
	s.run.Echoes("shop/order")[0].Answer("", envoytest.Answer{})
	for i := range 400 {
		if _, err := s.call(t.Context(), "front", "order", fmt.Sprintf("/%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	n := 0
	for _, text := range strings.Split(s.run.Envoys("shop/order")[0].Log(), "\n") {
		if _, ok := jsonLine(text); ok {
			n++
		}
	}
	if n < 150 || n > 250 {
		t.Errorf("%d of 400 requests are logged", n)
	}
}

// TestOpenTelemetryLog: a record has the fields of a line, and the proxy's workload.
func TestOpenTelemetryLog(t *testing.T) {
	collector := startCollector(t)
	s := startShop(t, "accessLog: {providers: [otel], filter: {errorsOnly: true}}", map[string]string{"obs/otel": collector.address})
	s.four(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := envoytest.Until(ctx, func() error {
		byOrder, denied := 0, false
		for _, r := range collector.logged() {
			if r["cluster_name"] == "shop/order" {
				byOrder++
				denied = denied || r["path"] == "/admin" && r["details"] == deniedBy
			}
		}
		if byOrder != 3 || !denied {
			return fmt.Errorf("%d records of order, denied: %v", byOrder, denied)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v: %v", err, collector.logged())
	}
	if log := s.run.Envoys("shop/order")[0].Log(); strings.Contains(log, "/admin") {
		t.Errorf("standard output has lines besides:\n%s", log)
	}
}
