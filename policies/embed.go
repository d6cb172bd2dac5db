// Package policies holds the Rego library that every OPA bundle carries: how a
// request is read, how it is compared, and how rules make a decision. It knows
// no workload; package compiler/authz generates the rules.
package policies

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed lib/*.rego
var library embed.FS

// Module is one file of the library, package mesh_compile.<Name>.
type Module struct {
	Name   string
	Source []byte
}

// Library returns the library, sorted by name.
func Library() ([]Module, error) {
	entries, err := library.ReadDir("lib") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("reading the policy library: %w", err)
	}
	out := make([]Module, len(entries))
	for i, e := range entries {
		source, err := library.ReadFile(path.Join("lib", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the policy library: %w", err)
		}
		out[i] = Module{Name: strings.TrimSuffix(e.Name(), ".rego"), Source: source}
	}
	return out, nil
}
