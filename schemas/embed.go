// Package schemas holds what is derived from the Go structs of the native kinds:
// CRDs, JSON Schema, CUE definitions and (in docs/reference/kinds) pages for
// people; and, in cli, the JSON Schemas of what mesh-compile prints.
//
// In: nothing; out: embedded files. It never interprets a document: package
// compiler/load/structural does, by the JSON Schema of this package.
package schemas

//go:generate go run -C ../test/tools/schemas . -root ../../..

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// CUEModule is the path of the module that CUE returns, without major version.
const CUEModule = "mesh-compile.dev"

//go:embed cue/cue.mod cue/v1alpha1 crds json cli
var files embed.FS

// CUE is the root of the CUE module mesh-compile.dev: cue.mod/module.cue and the
// package v1alpha1.
func CUE() fs.FS { return sub("cue") }

// CRDs is one YAML file for each native kind, by its plural name:
// "meshroutes.yaml".
func CRDs() fs.FS { return sub("crds") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // dir is a constant that embed has checked
	}
	return f
}

// JSONSchema returns the schema of one native kind ("MeshRoute"), or of all of
// them for the empty kind: JSON Schema 2020-12.
func JSONSchema(kind string) ([]byte, error) {
	name := "mesh-compile"
	if kind != "" {
		name = strings.ToLower(kind)
	}
	text, err := files.ReadFile("json/" + name + ".schema.json")
	if err != nil {
		return nil, fmt.Errorf("no native kind is called %q", kind)
	}
	return text, nil
}

// CLISchema returns the schema of what a command prints with --format json
// ("lint", "explain", "fleet").
func CLISchema(command string) ([]byte, error) {
	text, err := files.ReadFile("cli/" + command + ".schema.json")
	if err != nil {
		return nil, fmt.Errorf("no JSON Schema for the output of %q", command)
	}
	return text, nil
}

// Names lists what JSONSchema and CLISchema have a schema of, in lower case.
func Names() []string {
	var names []string
	for _, dir := range []string{"json", "cli"} {
		entries, err := files.ReadDir(dir)
		if err != nil {
			panic(err) // dir is embedded
		}
		for _, e := range entries {
			if name := strings.TrimSuffix(e.Name(), ".schema.json"); name != "mesh-compile" {
				names = append(names, name)
			}
		}
	}
	return names
}
