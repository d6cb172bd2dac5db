package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cuejson "cuelang.org/go/encoding/json"
	"cuelang.org/go/encoding/jsonschema"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mesh-compile/mesh-compile/schemas"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// commands of the scripts beyond testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"conforms": conforms,
	"envoy":    envoy,
	"flip":     flip,
	"mode":     mode,
	"registry": registry,
	"reversed": reversed,
	"status":   status,
	"page":     page,
}

// conforms checks each line, or with -whole the whole, of a JSON file against
// the schema that `mesh-compile schema NAME` prints: conforms [-whole] NAME FILE
func conforms(ts *testscript.TestScript, neg bool, args []string) {
	whole := args[0] == "-whole"
	if whole {
		args = args[1:]
	}
	schema, err := cliSchema(args[0])
	ts.Check(err)
	texts := [][]byte{[]byte(ts.ReadFile(args[1]))}
	if !whole {
		texts = bytes.Split(bytes.TrimSpace(texts[0]), []byte("\n"))
	}
	for _, text := range texts {
		err := validate(schema, text)
		if (err == nil) == neg {
			ts.Fatalf("%s conforms to schema %s is %v: %v", text, args[0], err == nil, err)
		}
	}
}

// cliSchema reads a schema of schemas/cli by CUE's reader of JSON Schema. Its
// objects are closed here: a field that the schema does not describe is one that
// nobody documented.
func cliSchema(name string) (cue.Value, error) {
	text, err := schemas.CLISchema(name)
	if err != nil {
		return cue.Value{}, err
	}
	text = bytes.ReplaceAll(text, []byte(`"properties": {`), []byte(`"additionalProperties": false, "properties": {`))
	expr, err := cuejson.Extract(name, text)
	if err != nil {
		return cue.Value{}, err
	}
	ctx := cuecontext.New()
	file, err := jsonschema.Extract(ctx.BuildExpr(expr), &jsonschema.Config{ID: "https://mesh-compile.dev/" + name})
	if err != nil {
		return cue.Value{}, err
	}
	v := ctx.BuildFile(file)
	return v, v.Err()
}

func validate(schema cue.Value, text []byte) error {
	expr, err := cuejson.Extract("output", text)
	if err != nil {
		return err
	}
	return schema.Unify(cuecontext.New().BuildExpr(expr)).Validate(cue.Concrete(true), cue.Final())
}

// envoy asks the real Envoy whether it takes a bootstrap: envoy FILE
func envoy(ts *testscript.TestScript, neg bool, args []string) {
	err := envoytest.Validate(context.Background(), []byte(ts.ReadFile(args[0])))
	if (err == nil) == neg {
		ts.Fatalf("envoy takes %s is %v: %v", args[0], err == nil, err)
	}
}

// flip changes one bit of the last of the files that match: flip GLOB
func flip(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("no file is called %s", args[0])
	}
	name := names[len(names)-1]
	data, err := os.ReadFile(name)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.Chmod(name, 0o600))
	ts.Check(os.WriteFile(name, data, 0o600))
}

// mode checks permissions: mode OCTAL FILE...
func mode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := info.Mode().Perm(); got != fs.FileMode(want) {
			ts.Fatalf("%s has mode %o, want %o", name, got, want)
		}
	}
}

// status runs a command and checks its exit status: status N COMMAND ARGS...
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// reversed copies a directory, its files made in the opposite order, so that the
// file system lists them otherwise: reversed FROM TO
func reversed(ts *testscript.TestScript, _ bool, args []string) {
	from, to := os.DirFS(ts.MkAbs(args[0])), ts.MkAbs(args[1])
	var names []string
	ts.Check(fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	slices.Reverse(names)
	for _, name := range names {
		data, err := fs.ReadFile(from, name)
		ts.Check(err)
		ts.Check(os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755))
		ts.Check(os.WriteFile(filepath.Join(to, name), data, 0o600))
	}
	if len(names) < 2 {
		ts.Fatalf("%s has %s: nothing to reverse", args[0], fmt.Sprint(names))
	}
}

// page serves a file as the status of a controller, as it is when it is asked for,
// and sets SERVER to its address: page FILE
func page(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, name)
	}))
	ts.Defer(server.Close)
	ts.Setenv("SERVER", server.URL)
}
