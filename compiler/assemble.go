package compiler

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Version of the compiler: part of every release, and the same on every machine.
const Version = "0.1.0-dev"

// MinEnvoy is the oldest Envoy that a slice may be given to: the oldest release
// line that is still patched.
const MinEnvoy = "1.37.0"

// EnvoyAPI is the version of Envoy's API that slices are written in.
const EnvoyAPI = "1.40.0"

// sourceOfNothing is the place of a finding that no file causes.
var sourceOfNothing source.Span

// assemble puts the release together.
func (r *run) assemble() {
	b := artifact.NewBuilder(r.prev.Release)
	b.SetInputs(artifact.Inputs{Source: r.sourceDigest(), Compiler: Version, EnvoyAPI: EnvoyAPI})
	if roots := cmp.Or(r.out.Mesh.Settings().TrustBundle, r.opt.TrustBundle); roots != "" {
		b.Share(artifact.TrustBundle, []byte(roots))
	}
	for _, w := range r.out.Mesh.Workloads() {
		b.AddLeaf(leaf(b, w, r.out.units[w]))
	}
	if err := r.aux(b); err != nil {
		r.fail(err)
		return
	}
	release, err := b.Build()
	if err != nil {
		r.fail(fmt.Errorf("assembling the release: %w", err))
		return
	}
	r.out.Release = release
}

func leaf(b *artifact.Builder, w *check.Workload, u *unit) artifact.Leaf {
	l := artifact.Leaf{
		SPIFFEID: w.Identity, Workload: w.Key(), Kind: artifact.Live,
		Slice:       b.AddSlice(u.lists...),
		Constraints: b.AddBlob(u.constraints),
		AgentPolicy: b.AddBlob(u.policy),
		MinEnvoy:    MinEnvoy, Sensitivity: artifact.Normal,
	}
	if u.bundle != nil {
		l.Bundle = b.AddBlob(u.bundle)
	}
	return l
}

// aux adds what stays with the release: where each rule was written, and the
// checked mesh, so that diff and explain work on releases.
func (r *run) aux(b *artifact.Builder) error {
	places := r.out.Mesh.Places()
	lines := make(map[string]string, len(places))
	for id, span := range places {
		lines[id] = span.String()
	}
	sourceMap, err := json.Marshal(lines)
	if err != nil {
		return fmt.Errorf("encoding the source map: %w", err)
	}
	b.Aux(artifact.SourceMap, sourceMap)
	dump, err := r.out.Mesh.Dump()
	if err != nil {
		return fmt.Errorf("encoding the checked mesh: %w", err)
	}
	b.Aux(artifact.CheckedMesh, dump)
	return nil
}

// sourceDigest covers the names and contents of all files.
func (r *run) sourceDigest() artifact.Digest {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(r.out.Files.Files)) {
		b = fmt.Appendf(b, "%q %s\n", name, r.out.Files.Files[name].Digest)
	}
	return artifact.DigestOf(b)
}
