package compiler

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/parallel"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Version of the compiler: part of every release, and the same on every machine.
const Version = "0.1.0-dev"

// MinEnvoy is the oldest Envoy that a slice may be given to. Older ones match rules
// of access against "/a/..;x/admin" as it stands (CVE-2026-73551, CVE-2026-73511),
// and before 1.38 do not know all fields of a slice. Patches of the lines before
// (1.38.4) are refused as well: what is newer than them is not all patched.
const MinEnvoy = "1.39.1"

// EnvoyAPI is the version of Envoy's API that slices are written in.
const EnvoyAPI = "1.40.0"

// sourceOfNothing is the place of a finding that no file causes.
var sourceOfNothing source.Span

// assemble puts the release together.
func (r *run) assemble() {
	prev := r.prev.generated
	b := artifact.NewBuilder(prev.release)
	b.SetInputs(artifact.Inputs{Source: r.sourceDigest(), Compiler: Version, EnvoyAPI: EnvoyAPI})
	if roots := cmp.Or(r.out.Mesh.Settings().TrustBundle, r.opt.TrustBundle); roots != "" {
		b.Share(artifact.TrustBundle, []byte(roots))
	}
	for _, w := range r.out.Mesh.Workloads() {
		u := r.next.units[w]
		if u != prev.units[w] {
			u.leaf = leaf(b, w, u)
		}
		b.AddLeaf(u.leaf)
	}
	r.aux(b)
	discovery, err := r.next.discovery()
	if err != nil {
		r.fail(fmt.Errorf("assembling the release: %w", err))
		return
	}
	b.Aux(artifact.Discovery, discovery)
	release, err := b.Build()
	if err != nil {
		r.fail(fmt.Errorf("assembling the release: %w", err))
		return
	}
	r.out.Release, r.next.release = release, release
	r.out.generated = r.next
}

func leaf(b *artifact.Builder, w *check.Workload, u *unit) artifact.Leaf {
	l := artifact.Leaf{
		SPIFFEID: w.Identity, Workload: w.Key(), Kind: artifact.Live,
		Slice:       b.AddSlice(u.lists...),
		Constraints: b.Add(u.constraints),
		AgentPolicy: b.Add(u.policy),
		MinEnvoy:    MinEnvoy, Sensitivity: artifact.Normal,
	}
	if w.Engine == mesh.EngineOPA {
		l.Bundle = b.Add(u.bundle)
	}
	return l
}

// describe begins to write what stays with the release: where each rule was
// written, and the checked mesh, so that diff and explain work on releases. It
// is most of the release's bytes and needs the checked mesh alone: it is written
// while other stages run.
func (r *run) describe() {
	m := r.out.Mesh
	r.described = make(chan description, 1)
	go func() {
		var d description
		d.broke = parallel.Caught(func() {
			var dump []byte
			dump, d.err = m.Dump()
			d.sourceMap, d.mesh = artifact.NewBlob(m.SourceMap()), artifact.NewBlob(dump)
		})
		r.described <- d
	}()
}

type description struct {
	sourceMap, mesh artifact.Blob
	err             error
	broke           *parallel.Panic
}

func (r *run) aux(b *artifact.Builder) {
	d := <-r.described
	if d.broke != nil {
		panic(d.broke)
	}
	if d.err != nil {
		r.fail(d.err)
	}
	b.Aux(artifact.SourceMap, d.sourceMap)
	b.Aux(artifact.CheckedMesh, d.mesh)
}

// sourceDigest covers the names and contents of all files.
func (r *run) sourceDigest() artifact.Digest {
	b := make([]byte, 0, 128*len(r.out.Files.Files))
	for _, f := range r.out.Files.Files {
		b = append(strconv.AppendQuote(b, f.Name), ' ')
		b = append(append(b, f.Digest...), '\n')
	}
	return artifact.DigestOf(b)
}
