package reconcile

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Only what was published last is served, and only read.
func TestArchives(t *testing.T) {
	s := NewArchives("http://artifacts.example/")
	server := httptest.NewServer(s)
	defer server.Close()
	ask := func(method, path string) (int, string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	for _, name := range []string{"one", "two", "two", "three"} {
		s.put("a/"+name, []byte(name))
	}
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/a/three", 200, "three"},
		{"GET", "/a/two", 200, "two"},
		{"HEAD", "/a/two", 200, ""},
		{"GET", "/a/one", 404, "404 page not found\n"},
		{"GET", "/", 404, "404 page not found\n"},
		{"GET", "/a/../a/three", 404, "404 page not found\n"},
		{"PUT", "/a/three", 405, "archives are only read\n"},
	} {
		if status, body := ask(c.method, c.path); status != c.status || body != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, status, body, c.status, c.body)
		}
	}
}

func TestPack(t *testing.T) {
	one, err := pack("policies.yaml", []byte("---\n"))
	if err != nil {
		t.Fatal(err)
	}
	if two, err := pack("policies.yaml", []byte("---\n")); err != nil || !bytes.Equal(one, two) {
		t.Errorf("the same text gives other bytes: %v", err)
	}
}
