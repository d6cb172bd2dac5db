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
	c := &checker{opt: opt, prev: &state{}, regexes: map[string]string{}}
	if opt.Previous != nil && opt.Previous.state != nil {
		c.prev = opt.Previous.state
	}
	fragments = c.delegate(fragments)
	if !c.amend(fragments) {
		c.all(fragments)
	}
	c.expiries()
	c.gateways()
	c.telemetry()
	c.rateLimits()
	return c.finish()
}

// all checks all documents, and makes anew what they say otherwise than before.
func (c *checker) all(fragments []*mesh.Fragment) {
	c.frame = frame{fragments: fragments, about: map[any]diag.List{}}
	c.named = map[string][]*node{}
	c.in = collect(c.unique(fragments))
	c.foreignGateways()
	c.listenerSets()
	c.settle()
	c.reuse()
	c.workloads()
	c.gatewayWorkloads()
	c.inherit()
	c.services()
	c.assume()
	c.declare()
	c.policies()
	c.backendTLSPolicies()
	c.routes()
	c.access()
	c.guards()
	c.egress()
	c.callers()
	c.plan()
	c.build()
	c.scopes()
	c.anyEgress()
	c.portConflicts()
}

// checker is the state of one run.
type checker struct {
	frame
	opt  Options
	prev *state // never nil
	// amended is the earlier mesh whose frame this run began with; nil: none.
	amended *Mesh
	now     diag.List // of this run alone

	byNode map[string]*node
	named  map[string][]*node // by the service that their documents name

	dirtySites []*site // that are made anew
	dirtyNodes []*node
	full       []*Workload // of nodes

	regexes map[string]string // what is wrong with each, "" where nothing
}

// frame is what a run knows of the documents. The next may begin with it where only
// documents changed that attach to services and workloads and make none.
type frame struct {
	fragments []*mesh.Fragment
	objects   map[object]*mesh.Fragment // nil where one is declared twice
	in        *inputs
	set       settings
	nodes     []*node // by key
	byLabel   map[labelKey][]int
	names     names
	accounts  known
	gates     map[string]*gate             // by "namespace/name"
	nsLabels  map[string]map[string]string // by namespace, of those that were asked for
	served    map[string]*serving          // of workloads that serve gateways

	collectors map[string]*Collector // by name
	reports    map[string]*Telemetry // each once, by what it says

	// Findings: of the mesh as a whole, and about documents that attach to others.
	// Services and workloads keep their own; some are loud, the rest have none.
	diags     diag.List
	about     map[any]diag.List
	loudSites []*site
	loudNodes []*node
}

// of keeps apart what is found about one document.
func (c *checker) of(doc any, find func()) {
	before := len(c.diags)
	if find(); len(c.diags) > before {
		c.about[doc] = append(c.about[doc], c.diags[before:]...)
		c.diags = c.diags[:before]
	}
}

// declare ends what is found about services before anything is attached to them.
func (c *checker) declare() {
	for _, s := range c.names.sites {
		s.declared, s.diags = s.diags, nil
	}
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
