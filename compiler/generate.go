package compiler

import (
	"cmp"
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/memo"
	"github.com/mesh-compile/mesh-compile/compiler/parallel"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// generated is what the last run that came so far made. Later runs take over
// what did not change, whatever was wrong with the commits between.
type generated struct {
	release    *artifact.Release
	mesh       *check.Mesh
	generator  *xds.Generator
	access     *memo.Table[*check.Inbound, xds.PortAccess]
	lists      *memo.Table[*xds.List, *artifact.List]
	limits     *memo.Table[*xds.List, artifact.Blob] // by the clusters that they are about
	servers    *memo.Table[serverKey, server]
	discovered *memo.Table[*check.Service, []byte]
	units      map[*check.Workload]*unit
}

// unit is everything of a release that belongs to one workload. It is kept by
// the workload's pointer and by the lists that its slice is made of.
type unit struct {
	slice       xds.Slice
	lists       []*artifact.List
	constraints artifact.Blob
	server
	leaf artifact.Leaf // set when it is in a release
}

// next starts a run on a mesh with what this one made.
func (g *generated) next(m *check.Mesh) *generated {
	if g.mesh == nil || g.mesh.Settings().TrustDomain != m.Settings().TrustDomain {
		g = &generated{release: g.release, generator: g.generator}
	}
	return &generated{
		mesh:       m,
		generator:  xds.NewGenerator(m, g.generator),
		access:     memo.New(g.access),
		lists:      memo.New(g.lists),
		limits:     memo.New(g.limits),
		servers:    memo.New(g.servers),
		discovered: memo.New(g.discovered),
		units:      make(map[*check.Workload]*unit, len(m.Workloads())),
	}
}

// generate makes the slices of all workloads, in parallel: a workload's does not
// depend on another's, and what they have in common is made once.
func (r *run) generate() {
	r.next = r.prev.generated.next(r.out.Mesh)
	workloads := r.out.Mesh.Workloads()
	units := make([]*unit, len(workloads))
	errs := make([]error, len(workloads))
	parallel.Do(len(workloads), 16, func(i int) { units[i], errs[i] = r.unit(workloads[i]) })
	for i, w := range workloads {
		if errs[i] != nil {
			r.fail(fmt.Errorf("generating %s: %w", w.Key(), errs[i]))
			return
		}
		r.next.units[w] = units[i]
	}
}

func (r *run) unit(w *check.Workload) (*unit, error) {
	slice, err := r.next.slice(w)
	if err != nil {
		return nil, err
	}
	u := &unit{slice: slice}
	if u.lists, err = r.next.encoded(slice); err != nil {
		return nil, err
	}
	if u.constraints, err = r.next.constraints(w, slice); err != nil {
		return nil, err
	}
	if u.server, err = r.next.server(w); err != nil {
		return nil, err
	}
	if old := r.prev.generated.units[w]; old != nil && old.slice == slice {
		return old, nil
	}
	return u, nil
}

func (g *generated) slice(w *check.Workload) (xds.Slice, error) {
	var failed error
	slice, err := g.generator.Build(w, func(w *check.Workload, in *check.Inbound) xds.PortAccess {
		access, err := g.port(w, in)
		failed = cmp.Or(failed, err)
		return access
	})
	return slice, cmp.Or(failed, err)
}

// encoded returns the slice's lists; a list is encoded and digested once,
// whatever the number of workloads and of runs that share it.
func (g *generated) encoded(slice xds.Slice) ([]*artifact.List, error) {
	var out []*artifact.List
	for _, l := range slice.Lists() {
		encoded, err := g.lists.Get(l, func() (*artifact.List, error) { return encode(l) })
		if err != nil {
			return nil, err
		}
		out = append(out, encoded)
	}
	return out, nil
}

func encode(l *xds.List) (*artifact.List, error) {
	resources := make([]artifact.Resource, len(l.Resources))
	for i, r := range l.Resources {
		resources[i] = artifact.NewResource(r.Type, r.Name, r.Bytes)
	}
	return artifact.NewList(resources)
}
