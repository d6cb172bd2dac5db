package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

type explainFlags struct {
	compileFlags
	from, to, method, path string
	headers                []string
	requests               string
	format                 string
}

func (a *app) explain() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain PATH --from NS/NAME --to HOST:PORT | explain CODE",
		Short: "Say where a request goes and whether it is allowed, or what a finding means",
		Long: `With PATH, explain answers one request as the compiled configuration would:
route, destination, rewrites and access, with the source line of every rule that
decided. "--from none" is a caller without a mesh identity. --requests reads many,
one JSON object a line: {"from","to","method","path","headers"}.

With the code of a finding, explain prints its page.`,
		Example: `  mesh-compile explain policies --from shop/order --to payment:8080 --method POST --path /charges
  mesh-compile explain routeshadow`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.from == "" && f.to == "" && f.requests == "" {
				return a.explainCode(args[0])
			}
			return a.explainRequests(cmd, &f, args[0])
		},
	}
	f.register(c)
	fs := c.Flags()
	fs.StringVar(&f.from, "from", "", "calling workload `NS/NAME`, or none")
	fs.StringVar(&f.to, "to", "", "`HOST:PORT` that is called")
	fs.StringVar(&f.method, "method", "GET", "method")
	fs.StringVar(&f.path, "path", "/", "path with query")
	fs.StringArrayVar(&f.headers, "header", nil, "header `NAME=VALUE`; may be repeated")
	fs.StringVar(&f.requests, "requests", "", "read requests from this `FILE` of JSON lines, or - for standard input")
	fs.StringVar(&f.format, "format", "text", "output: text or json")
	return c
}

func (a *app) explainCode(code string) error {
	for _, p := range compiler.Pages() {
		if p.Code == diag.Code(code) {
			return writePage(a.stdout, p)
		}
	}
	return fmt.Errorf("explain %q: no such finding; with --from and --to a request to PATH is explained", code)
}

func writePage(w io.Writer, p diag.Page) error {
	_, err := fmt.Fprintf(w, "%s (%s): %s\n\n%s\n", p.Code, p.Severity, p.Title, strings.TrimSpace(p.Doc))
	return err
}

func (a *app) explainRequests(cmd *cobra.Command, f *explainFlags, path string) error {
	if f.format != "text" && f.format != "json" {
		return fmt.Errorf("--format %q: want text or json", f.format)
	}
	requests, err := f.read(a.stdin)
	if err != nil {
		return err
	}
	c, err := a.compile(cmd.Context(), &f.compileFlags, path)
	if err != nil {
		return err
	}
	defer c.tree.Close()
	if c.Diagnostics.HasErrors() {
		if err := a.printDiagnostics(a.stderr, c); err != nil {
			return err
		}
		return fmt.Errorf("%s has errors: what would not be compiled cannot be explained", path)
	}
	return a.explainAll(c.Mesh, requests, f.format)
}

func (a *app) explainAll(m *check.Mesh, requests []reach.Request, format string) error {
	e := reach.New(m)
	for _, r := range requests {
		result, err := e.Evaluate(r)
		if err != nil {
			return err
		}
		if format == "json" {
			err = json.NewEncoder(a.stdout).Encode(reach.Explain(&result))
		} else {
			_, err = io.WriteString(a.stdout, reach.Text(&result))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read returns the requests asked about.
func (f *explainFlags) read(stdin io.Reader) ([]reach.Request, error) {
	if f.requests == "" {
		return f.one()
	}
	if f.from != "" || f.to != "" {
		return nil, fmt.Errorf("--requests goes without --from and --to: each line says its own")
	}
	in := stdin
	if f.requests != "-" {
		file, err := os.Open(f.requests)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	return readRequests(in, f.requests)
}

func (f *explainFlags) one() ([]reach.Request, error) {
	if f.from == "" || f.to == "" {
		return nil, fmt.Errorf("explain needs both --from NS/NAME (or none) and --to HOST:PORT")
	}
	r := reach.Request{From: f.from, To: f.to, Method: f.method, Path: f.path, Headers: map[string][]string{}}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--header %q: want NAME=VALUE", h)
		}
		r.Headers[name] = append(r.Headers[name], value)
	}
	return []reach.Request{r}, nil
}

func readRequests(in io.Reader, name string) ([]reach.Request, error) {
	var requests []reach.Request
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		r, err := parseRequest(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		requests = append(requests, r)
	}
	return requests, lines.Err()
}

func parseRequest(line []byte) (reach.Request, error) {
	var in reach.ExplainedRequest
	dec := json.NewDecoder(strings.NewReader(string(line)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return reach.Request{}, err
	}
	if in.From == "" || in.To == "" {
		return reach.Request{}, fmt.Errorf(`want "from" and "to"`)
	}
	r := reach.Request{From: in.From, To: in.To, Method: in.Method, Path: in.Path, Headers: map[string][]string{}}
	for k, v := range in.Headers {
		r.Headers[k] = []string{v}
	}
	return r, nil
}
