package main

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"

	memory "github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
)

// registry starts an OCI registry on a loopback port for the rest of the script and
// names it in $REGISTRY: registry
func registry(ts *testscript.TestScript, _ bool, _ []string) {
	server := httptest.NewServer(memory.New(memory.Logger(log.New(io.Discard, "", 0))))
	ts.Defer(server.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
}
