package check

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Options of a run.
type Options struct {
	// AssumeExternal takes a service that nobody declares for one that exists
	// outside the repository, instead of an error.
	AssumeExternal bool
	// Previous is the result of an earlier run. What depends only on unchanged
	// documents is taken from it, pointer for pointer. It is only read.
	Previous *Mesh
	// AsOf judges what expires; zero: nothing does. It affects diagnostics alone.
	AsOf time.Time
	// ClusterDomain is used where no Mesh document says; "" is "cluster.local".
	ClusterDomain string
}

// Run checks the sum of the fragments. Their order does not matter. The mesh is
// never nil; with errors in the list it is what would be in force without the
// faulty parts, good enough to analyze and never to be released.
func Run(fragments []*mesh.Fragment, opt Options) (*Mesh, diag.List) {
	c := &checker{opt: opt, regexes: map[string]string{}, named: map[string][]*node{}}
	c.in = collect(c.unique(fragments))
	c.settle()
	c.reuseFrom(opt.Previous)
	c.workloads()
	c.services()
	c.assume()
	c.policies()
	c.routes()
	c.access()
	c.expiries()
	c.egress()
	c.callers()
	c.plan()
	c.build()
	c.anyEgress()
	return c.finish()
}

// checker is the state of one run.
type checker struct {
	opt   Options
	in    *inputs
	set   settings
	diags diag.List // of the mesh as a whole; services and workloads keep their own

	nodes   []*node
	byNode  map[string]*node
	byLabel map[labelKey][]*node
	named   map[string][]*node // by the service that their documents name
	sites   []*site
	names   names
	lists   lists
	// offMesh are routes that no sidecar takes.
	offMesh []*mesh.Route

	regexes map[string]string // what is wrong with each, "" where nothing
	prev    *state            // never nil
}

// report appends a finding about a document.
func report(l *diag.List, o mesh.Origin, d diag.Diagnostic) *diag.Diagnostic {
	d.Object = o.Object()
	if !d.Span.IsValid() {
		d.Span = o.Span
	}
	*l = append(*l, d)
	return &(*l)[len(*l)-1]
}
