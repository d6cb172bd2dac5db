package sign

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// ReleaseDoc is the signed statement about one release.
type ReleaseDoc struct {
	SchemaVersion uint64   `json:"schemaVersion"`
	MeshID        string   `json:"meshId"`
	Audience      Audience `json:"audience"`

	// SequenceEpoch is the root's at the time of signing. Without it, a
	// release of an earlier epoch would be newer than all of a new one.
	SequenceEpoch         uint64          `json:"sequenceEpoch"`
	Sequence              uint64          `json:"sequence"`
	PreviousReleaseDigest artifact.Digest `json:"previousReleaseDigest,omitzero"`

	Source          SourceFacts `json:"source"`
	Compiler        Compiler    `json:"compiler"`
	EnvoyAPIVersion string      `json:"envoyApiVersion,omitempty"`

	IssuedAt  Time `json:"issuedAt"`
	NotBefore Time `json:"notBefore"`
	ExpiresAt Time `json:"expiresAt"`

	// MinPrevSequence is the oldest release that may be served in the place
	// of this one, if any: see [MayStepBack].
	MinPrevSequence uint64 `json:"minPrevSequence,omitempty"`
	Class           Class  `json:"class"`

	// ContentDigest is that of the manifest, and so of the blobs that no leaf
	// names: the source map, the checked mesh.
	ContentDigest artifact.Digest    `json:"contentDigest"`
	Merkle        artifact.Merkle    `json:"merkle"`
	Trust         Trust              `json:"trust"`
	Constraints   ReleaseConstraints `json:"constraints"`
	Analysis      Analysis           `json:"analysis"`
	Provenance    Provenance         `json:"provenance"`
	Tombstones    Tombstones         `json:"tombstones"`
}

// Audience is who a document is for. No clusters means all of them.
type Audience struct {
	Environment string   `json:"environment"`
	Clusters    []string `json:"clusters,omitempty"`
}

func (a Audience) includes(self Self) bool {
	return a.Environment == self.Environment && (len(a.Clusters) == 0 || slices.Contains(a.Clusters, self.Cluster))
}

// SourceFacts are where the policy came from. The anchor is the SHA-256 of the
// input files; git's names, SHA-1 as a rule, are for people.
type SourceFacts struct {
	Repo               string          `json:"repo,omitempty"`
	Commit             string          `json:"commit,omitempty"`
	Tree               string          `json:"tree,omitempty"`
	GitObjectFormat    string          `json:"gitObjectFormat,omitempty"`
	SourceBundleSHA256 artifact.Digest `json:"sourceBundleSha256,omitzero"`
}

// Compiler identifies the program that made the release.
type Compiler struct {
	Version      string          `json:"version,omitempty"`
	BinaryDigest artifact.Digest `json:"binaryDigest,omitzero"`
	SchemaDigest artifact.Digest `json:"schemaDigest,omitzero"`
	FlagsDigest  artifact.Digest `json:"flagsDigest,omitzero"`
}

// Class says under which rule a release was made.
type Class string

// The classes. A breakglass release is signed by the role of that name.
const (
	ClassNormal     Class = "normal"
	ClassRollback   Class = "rollback"
	ClassBreakglass Class = "breakglass"
)

// Trust names the X.509 roots that proxies accept for each other.
type Trust struct {
	BundleSequence uint64          `json:"bundleSequence,omitempty"`
	BundleDigest   artifact.Digest `json:"bundleDigest,omitzero"`
	TrustDomain    string          `json:"trustDomain,omitempty"`
}

// ReleaseConstraints bound the unsigned facts of the whole mesh.
type ReleaseConstraints struct {
	EndpointsDigest artifact.Digest `json:"endpointsDigest,omitzero"`
	EgressDigest    artifact.Digest `json:"egressDigest,omitzero"`
}

// Analysis is what was found and accepted at the time of compilation.
type Analysis struct {
	ReportDigest artifact.Digest `json:"reportDigest,omitzero"`
	Findings     Findings        `json:"findings"`
	Waivers      []Waiver        `json:"waivers,omitempty"`
}

// Findings counts diagnostics by severity.
type Findings struct {
	Critical uint64 `json:"critical"`
	Error    uint64 `json:"error"`
	Warning  uint64 `json:"warning"`
	Info     uint64 `json:"info"`
}

// A Waiver is one accepted diagnostic.
type Waiver struct {
	Fingerprint string `json:"fingerprint"`
	Owner       string `json:"owner"`
	Reason      string `json:"reason"`
	Expires     Time   `json:"expires"`
}

// Provenance points to a statement about the build, such as SLSA's.
type Provenance struct {
	Digest artifact.Digest `json:"digest,omitzero"`
}

// Tombstones counts the leaves without a policy.
type Tombstones struct {
	Count uint64 `json:"count"`
}

// Describe returns the document of a release with what the release itself
// says. The caller adds mesh, audience, sequence, times and git's names.
func Describe(r *artifact.Release) ReleaseDoc {
	in := r.Inputs()
	doc := ReleaseDoc{
		SchemaVersion: schemaVersion, Class: ClassNormal, EnvoyAPIVersion: in.EnvoyAPI,
		Source:        SourceFacts{SourceBundleSHA256: in.Source},
		Compiler:      Compiler{Version: in.Compiler, SchemaDigest: in.Schema, FlagsDigest: in.Flags},
		ContentDigest: r.Digest(),
		Merkle:        artifact.Merkle{Alg: artifact.MerkleAlg, Size: r.Tree().Size(), Root: r.Tree().Root()},
	}
	doc.Trust.BundleDigest, _ = r.Shared(artifact.TrustBundle)
	for _, l := range r.Leaves() {
		if l.Kind == artifact.Tombstone {
			doc.Tombstones.Count++
		}
	}
	return doc
}

// SignRelease returns the envelope of a release document.
func SignRelease(doc ReleaseDoc, signers ...*Signer) ([]byte, error) {
	if err := doc.check(); err != nil {
		return nil, fmt.Errorf("signing release: %w", err)
	}
	return seal(releaseType, doc, signers)
}

func (d *ReleaseDoc) check() error {
	if err := checkHeader(d.SchemaVersion, d.MeshID); err != nil {
		return err
	}
	switch {
	case d.Class != ClassNormal && d.Class != ClassRollback && d.Class != ClassBreakglass:
		return fmt.Errorf("unknown class %.40q", d.Class)
	case d.Sequence == 0:
		return fmt.Errorf("sequence is 0, the first release is 1")
	case d.MinPrevSequence > d.Sequence:
		return fmt.Errorf("minPrevSequence %d is above sequence %d", d.MinPrevSequence, d.Sequence)
	case d.Merkle.Alg != artifact.MerkleAlg:
		return fmt.Errorf("merkle.alg is %.40q, want %q", d.Merkle.Alg, artifact.MerkleAlg)
	case d.Merkle.Root.IsZero() || d.ContentDigest.IsZero():
		return fmt.Errorf("merkle.root and contentDigest must be given")
	case d.IssuedAt.IsZero() || d.NotBefore.IsZero() || !d.NotBefore.Before(d.ExpiresAt.Time):
		return fmt.Errorf("issuedAt, notBefore and expiresAt must be given, in order")
	}
	return nil
}

// MayStepBack reports whether an agent that has verified live may serve the
// older release previous in its place. The high-water mark stays.
func MayStepBack(root *TrustedRoot, live, previous *ReleaseDoc) bool {
	return live.MinPrevSequence > 0 && previous.SequenceEpoch == live.SequenceEpoch &&
		previous.Sequence < live.Sequence && previous.Sequence >= live.MinPrevSequence &&
		previous.SequenceEpoch == root.doc.SequenceEpoch && previous.Sequence >= root.doc.MinReleaseSequence
}
