package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

type explainFlags struct {
	compileFlags
	from, to, method, path string
	gateway, sni           string
	clientCertificate      bool
	headers                []string
	requests               string
	format                 string
}

func (a *app) explain() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain [PATH --from NS/NAME --to HOST:PORT | CODE]",
		Short: "Say where a request goes and whether it is allowed, or what a finding means",
		Long: `With PATH, explain answers one request as the compiled configuration would:
route, destination, rewrites and access, with the source line of every rule that
decided. "--from none" is a caller without a mesh identity. --requests reads many,
one JSON object a line: {"from","to","method","path","headers"}.

--gateway is where a request arrives from outside the mesh; --to is then the host
that is asked for and the gateway's port. --sni names another server in the TLS
than the host, and --client-certificate shows one that the listener's CA signed.

With the code of a finding, explain prints its page; alone, it lists them.`,
		Example: `  mesh-compile explain policies --from shop/order --to payment:8080 --method POST --path /charges
  mesh-compile explain policies --gateway shop/edge --to shop.example:443 --path /cart
  mesh-compile explain routeshadow`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			about := f.from != "" || f.to != "" || f.requests != "" || f.gateway != ""
			switch {
			case about && len(args) == 0:
				return fmt.Errorf("explain needs the PATH that the request is sent in")
			case len(args) == 0:
				return a.listPages()
			case !about:
				return a.explainCode(args[0])
			}
			return a.explainRequests(cmd, &f, args[0])
		},
	}
	f.register(c)
	fs := c.Flags()
	fs.StringVar(&f.from, "from", "", "calling workload `NS/NAME`, or none")
	fs.StringVar(&f.to, "to", "", "`HOST:PORT` that is called")
	fs.StringVar(&f.gateway, "gateway", "", "gateway `NS/NAME` at which the request arrives")
	fs.StringVar(&f.sni, "sni", "", "server name `HOST` in the TLS to a gateway; the host of --to unless given")
	fs.BoolVar(&f.clientCertificate, "client-certificate", false, "show the gateway a client's certificate")
	fs.StringVar(&f.method, "method", "GET", "method")
	fs.StringVar(&f.path, "path", "/", "path with query")
	fs.StringArrayVar(&f.headers, "header", nil, "header `NAME=VALUE`; may be repeated")
	fs.StringVar(&f.requests, "requests", "", "read requests from this `FILE` of JSON lines, or - for standard input")
	fs.StringVar(&f.format, "format", "text", "output `FORMAT`: text or json")
	return c
}

// listPages names every finding, so that nobody has to guess a code.
func (a *app) listPages() error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, p := range compiler.Pages() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Code, p.Severity, p.Title)
	}
	return w.Flush()
}

func (a *app) explainCode(code string) error {
	var codes []string
	for _, p := range compiler.Pages() {
		if p.Code == diag.Code(code) {
			return writePage(a.stdout, p)
		}
		codes = append(codes, string(p.Code))
	}
	if _, err := os.Stat(code); err == nil {
		return fmt.Errorf("explain %s: which request? name it with --from NS/NAME (or none) and --to HOST:PORT", code)
	}
	if near := load.Nearest(code, codes); near != "" {
		return fmt.Errorf("explain %q: no such finding: did you mean %s?", code, near)
	}
	return fmt.Errorf("explain %q: no such finding and no such path; \"mesh-compile explain\" lists the findings", code)
}

func writePage(w io.Writer, p diag.Page) error {
	_, err := fmt.Fprintf(w, "%s (%s): %s\n\n%s\n", p.Code, p.Severity, p.Title, strings.TrimSpace(p.Doc))
	return err
}

func (a *app) explainRequests(cmd *cobra.Command, f *explainFlags, path string) error {
	if err := oneOf("format", f.format, "text", "json"); err != nil {
		return err
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
		fmt.Fprintf(a.stderr, "%s has errors, listed above: what would not be compiled cannot be explained\n", path)
		return errFindings
	}
	return a.explainAll(c, requests, f.format)
}

func (a *app) explainAll(c *compiled, requests []reach.Request, format string) error {
	e := reach.New(c.Mesh)
	for _, r := range requests {
		result, err := e.Evaluate(r)
		if err != nil {
			return withWorkloads(err, c.Mesh, r.From)
		}
		if format == "json" {
			err = json.NewEncoder(a.stdout).Encode(reach.Explain(&result, c.tree.Dir))
		} else {
			_, err = io.WriteString(a.stdout, reach.Text(&result, c.tree.Dir))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withWorkloads adds whom a caller that does not exist may have been meant for.
func withWorkloads(err error, m *check.Mesh, from string) error {
	var names []string
	for _, w := range m.Workloads() {
		names = append(names, w.Key())
	}
	if slices.Contains(names, from) {
		return err
	}
	if near := load.Nearest(from, names); near != "" {
		return fmt.Errorf("%w: did you mean %s?", err, near)
	}
	return fmt.Errorf("%w: there are %s", err, some(names))
}

// read returns the requests asked about.
func (f *explainFlags) read(stdin io.Reader) ([]reach.Request, error) {
	if f.requests == "" {
		return f.one()
	}
	if f.from != "" || f.to != "" || f.gateway != "" {
		return nil, fmt.Errorf("--requests goes without --from, --to and --gateway: each line says its own")
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
	if f.gateway != "" && f.from == "" {
		f.from = reach.NoIdentity
	}
	if f.from == "" || f.to == "" {
		return nil, fmt.Errorf("explain needs both --from NS/NAME (or none) and --to HOST:PORT")
	}
	if !strings.HasPrefix(f.path, "/") && f.path != "*" {
		return nil, fmt.Errorf("--path %q: want a path that begins with /", f.path)
	}
	if f.gateway == "" && (f.sni != "" || f.clientCertificate) {
		return nil, fmt.Errorf("--sni and --client-certificate are for requests at a --gateway")
	}
	r := reach.Request{
		From: f.from, To: f.to, Method: f.method, Path: f.path, Headers: map[string][]string{},
		Gateway: f.gateway, SNI: f.sni, ClientCertificate: f.clientCertificate,
	}
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
	if in.Gateway != "" && in.From == "" {
		in.From = reach.NoIdentity
	}
	if in.From == "" || in.To == "" {
		return reach.Request{}, fmt.Errorf(`want "from" (or "gateway") and "to"`)
	}
	if in.Gateway == "" && (in.SNI != "" || in.ClientCertificate) {
		return reach.Request{}, fmt.Errorf(`"sni" and "clientCertificate" are for requests at a "gateway"`)
	}
	r := reach.Request{
		From: in.From, To: in.To, Method: in.Method, Path: in.Path, Headers: map[string][]string{},
		Gateway: in.Gateway, SNI: in.SNI, ClientCertificate: in.ClientCertificate,
	}
	for k, v := range in.Headers {
		r.Headers[k] = []string{v}
	}
	return r, nil
}
