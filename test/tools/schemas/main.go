// Schemas writes everything that is derived from the Go structs of the native
// kinds: DeepCopy methods, CRDs, JSON Schema, CUE definitions and reference pages.
//
// In: the package controller/api/v1alpha1 of the repository -root, through
// controller-gen's own parser. Out: files below -out in their places
// (schemas/..., docs/...), the same bytes for the same structs. It is a module
// of its own because controller-gen's dependencies are none of the product's.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the repository")
	out := flag.String("out", "", "where to write; the repository unless given")
	flag.Parse()
	if *out == "" {
		*out = *root
	}
	if err := run(*root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(root, out string) error {
	m, err := readModel(root)
	if err != nil {
		return fmt.Errorf("reading the structs: %w", err)
	}
	files := map[string][]byte{}
	for _, write := range []func(*model, map[string][]byte) error{writeDeepCopy, writeCRDs, writeJSON, writeCUE, writeReference} {
		if err := write(m, files); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := update(filepath.Join(out, filepath.FromSlash(name)), text); err != nil {
			return err
		}
	}
	return nil
}

// update leaves a file alone that has these bytes already.
func update(name string, text []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}
