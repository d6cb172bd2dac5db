package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// node is a workload while it is being checked.
type node struct {
	key      string
	doc      *mesh.Workload
	overlays []*mesh.Workload // that add to it, the most specific first
	version  string
	place    int     // in checker.nodes
	sites    []*site // services over it, by key

	// What is attached to it, in the order of the documents' names.
	peers    []*mesh.PeerPolicy
	policies []*mesh.AccessPolicy
	gateways []*mesh.Gateway // that it serves
	servers  []*guard        // by port, each once
	inherits inherited
	attached diag.List

	inputs []any
	server *Workload // what services point at; see Service.Workloads
	diags  diag.List
}

// labelKey finds workloads by one label of their namespace.
type labelKey struct{ namespace, key, value string }

// workloads makes a node of each workload and attaches the documents that only
// add to it. Every workload that the model names is meshed.
func (c *checker) workloads() {
	c.byNode = make(map[string]*node, len(c.in.Workloads))
	c.byLabel = map[labelKey][]int{}
	var overlays []*mesh.Workload
	for _, pass := range []bool{true, false} { // Kubernetes first: it owns the name
		for _, doc := range c.in.Workloads {
			if (doc.Dialect == mesh.Kubernetes) != pass {
				continue
			}
			if doc.NamespaceWide || !pass && c.byNode[doc.Namespace+"/"+doc.Name] != nil {
				overlays = append(overlays, doc)
				c.describesTwice(doc)
				continue
			}
			c.addNode(doc)
		}
	}
	c.lonely()
	slices.SortFunc(c.nodes, func(a, b *node) int { return cmp.Compare(a.key, b.key) })
	for i, n := range c.nodes {
		n.place = i
		for k, v := range n.doc.Labels {
			at := labelKey{n.doc.Namespace, k, v}
			c.byLabel[at] = append(c.byLabel[at], i)
		}
	}
	c.overlay(overlays)
}

// describesTwice reports fields of a native document that say what a workload of
// Kubernetes is: that is its own manifest's to say.
func (c *checker) describesTwice(doc *mesh.Workload) {
	first := c.byNode[doc.Namespace+"/"+doc.Name]
	if doc.NamespaceWide || first == nil {
		return
	}
	for _, f := range doc.Describes {
		report(&c.diags, doc.Origin, diag.Diagnostic{
			Code: DuplicateObject, Severity: diag.Error, Span: f.Span,
			Message: fmt.Sprintf("%s describes a workload, and workload %s is already %s: beside it, only uses, capture, egress and engine may be written", f.Key, first.key, first.doc.Object()),
			Related: []diag.Related{{Span: first.doc.Span, Message: "the workload"}},
			Fix:     &diag.Fix{Message: "remove " + f.Key + ", or give the MeshWorkload a name of its own"},
		})
	}
}

// lonely reports documents that only add to a workload, where Kubernetes has
// workloads but none of the name: most often it is misspelt. They stand for a
// workload of their own, which calls others and is called by nobody.
func (c *checker) lonely() {
	named := map[string][]string{}
	for _, n := range c.nodes {
		if n.doc.Dialect == mesh.Kubernetes {
			named[n.doc.Namespace] = append(named[n.doc.Namespace], n.doc.Name)
		}
	}
	for _, n := range c.nodes {
		if n.doc.Overlay && len(named[n.doc.Namespace]) > 0 {
			report(&c.diags, n.doc.Origin, diag.Diagnostic{
				Code: SelectsNothing, Severity: diag.Warning,
				Message: "namespace " + n.doc.Namespace + " has no workload " + n.doc.Name + " to add to",
				Fix:     suggest(n.doc.Name, named[n.doc.Namespace]),
			})
		}
	}
}

func (c *checker) addNode(doc *mesh.Workload) {
	key := doc.Namespace + "/" + doc.Name
	if first := c.byNode[key]; first != nil {
		report(&c.diags, doc.Origin, diag.Diagnostic{
			Code: DuplicateObject, Severity: diag.Error,
			Message: "workload " + key + " is declared twice",
			Related: []diag.Related{{Span: first.doc.Span, Message: "the first, which is used"}},
		})
		return
	}
	n := &node{key: key, doc: doc, version: cmp.Or(doc.Version, doc.Labels[versionLabel])}
	c.byNode[key] = n
	c.nodes = append(c.nodes, n)
}

// overlay attaches documents that add to workloads: those of the same name
// before those for the whole namespace.
func (c *checker) overlay(docs []*mesh.Workload) {
	for _, wide := range []bool{false, true} {
		for _, doc := range docs {
			if doc.NamespaceWide != wide {
				continue
			}
			found := false
			for _, n := range c.nodes {
				if n.doc.Namespace == doc.Namespace && (wide || n.doc.Name == doc.Name) {
					n.overlays = append(n.overlays, doc)
					found = true
				}
			}
			if !found {
				report(&c.diags, doc.Origin, diag.Diagnostic{
					Code: SelectsNothing, Severity: diag.Warning,
					Message: "namespace " + doc.Namespace + " has no workload to add to",
				})
			}
		}
	}
}

// written returns the documents that may say something about n, the most
// specific first.
func (n *node) written() []*mesh.Workload {
	docs := make([]*mesh.Workload, 0, 1+len(n.overlays))
	for _, o := range n.overlays {
		if !o.NamespaceWide {
			docs = append(docs, o)
		}
	}
	docs = append(docs, n.doc)
	for _, o := range n.overlays {
		if o.NamespaceWide {
			docs = append(docs, o)
		}
	}
	return docs
}

// said returns the first non-zero value of a field.
func said[T comparable](n *node, field func(*mesh.Workload) T) T {
	var zero T
	for _, doc := range n.written() {
		if v := field(doc); v != zero {
			return v
		}
	}
	return zero
}

// node finds "namespace/name", nil where there is none.
func (f *frame) node(key string) *node {
	i, ok := slices.BinarySearchFunc(f.nodes, key, func(n *node, key string) int { return cmp.Compare(n.key, key) })
	if !ok {
		return nil
	}
	return f.nodes[i]
}

// inNamespace returns the nodes of a namespace, by key.
func (f *frame) inNamespace(namespace string) (out []*node) {
	i, _ := slices.BinarySearchFunc(f.nodes, namespace+"/", func(n *node, key string) int { return cmp.Compare(n.key, key) })
	for ; i < len(f.nodes) && f.nodes[i].doc.Namespace == namespace; i++ {
		out = append(out, f.nodes[i])
	}
	return out
}

// selected returns the nodes of a namespace that carry all labels of a
// non-empty selector, by key.
func (f *frame) selected(namespace string, selector map[string]string) []*node {
	var fewest []int
	for i, k := range slices.Sorted(maps.Keys(selector)) {
		bucket := f.byLabel[labelKey{namespace, k, selector[k]}]
		if i == 0 || len(bucket) < len(fewest) {
			fewest = bucket
		}
	}
	var out []*node
	for _, i := range fewest {
		if n := f.nodes[i]; Selects(selector, n.doc.Labels) {
			out = append(out, n)
		}
	}
	return out
}

// workload makes the server side of a checked workload; scope is added later.
func (c *checker) workload(n *node) *Workload {
	account := cmp.Or(n.doc.ServiceAccount, "default")
	capture := mesh.CaptureRedirect
	if n.doc.Dialect == mesh.Native || len(n.gateways) > 0 {
		capture = mesh.CaptureNone // nothing sets up redirection where there is no pod, or no application
	}
	egress := said(n, func(w *mesh.Workload) string { return w.EgressMode })
	w := &Workload{
		Origin: n.doc.Origin, Namespace: n.doc.Namespace, Name: n.doc.Name, key: n.key,
		Labels: n.doc.Labels, ServiceAccount: account, Version: n.version,
		Identity:       c.set.identity(n.doc.Namespace, account),
		Capture:        cmp.Or(said(n, func(w *mesh.Workload) mesh.Capture { return w.Capture }), c.set.capture, capture),
		Engine:         cmp.Or(said(n, func(w *mesh.Workload) mesh.Engine { return w.Engine }), mesh.EngineRBAC),
		AllowAnyEgress: egress == "allow-any" || egress == "" && c.set.AllowAnyEgress,
		Endpoints:      n.doc.Endpoints, Locality: n.doc.Locality,
	}
	w.Inbound = c.inbounds(n)
	return w
}
