package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/fetch"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// signedSteps take on a release that was compiled and signed in CI: this role has
// no key that could, and compiles nothing.
var signedSteps = []func(*Reconciler, context.Context, *attempt) error{
	(*Reconciler).alone,
	(*Reconciler).disown,
	(*Reconciler).dependencies,
	(*Reconciler).pull,
	(*Reconciler).verify,
	(*Reconciler).publishSigned,
	(*Reconciler).export,
}

// pulled is the release that came last, and the digest of what it came in. It is not
// downloaded again, whether it was accepted or not.
type pulled struct {
	from    string
	release *artifact.Release
}

// pull brings the release that the source holds now.
func (r *Reconciler) pull(ctx context.Context, a *attempt) (err error) {
	from := a.sync.Spec.Release
	if from.OCI != nil {
		err = r.pullOCI(ctx, a, from.OCI)
	} else {
		err = r.pullFlux(ctx, a, from.SourceRef)
	}
	a.signed = r.pulled.release
	return err
}

// pullOCI asks what the tag is now, and downloads what it has not downloaded last.
func (r *Reconciler) pullOCI(ctx context.Context, a *attempt, o *v1alpha1.OCIRelease) error {
	digest := o.Digest
	a.revision = digest
	if o.Tag != "" {
		var err error
		if digest, err = store.Resolve(ctx, reference(o, ":"+o.Tag)); err != nil {
			return retry(v1alpha1.ReasonFetchFailed, err)
		}
		a.revision = o.Tag + "@" + digest
	}
	return r.once(o.URL+"@"+digest, func() (*artifact.Release, error) {
		release, _, err := store.Pull(ctx, reference(o, "@"+digest), r.pulled.release)
		return release, err
	})
}

// reference is the URL of a tag or digest of the repository.
func reference(o *v1alpha1.OCIRelease, suffix string) string {
	url := o.URL + suffix
	if o.Insecure {
		url += "?insecure=true"
	}
	return url
}

// pullFlux reads the directory of a release that a Flux source holds.
func (r *Reconciler) pullFlux(ctx context.Context, a *attempt, ref *v1alpha1.SourceRef) error {
	found, err := r.artifactOf(ctx, a.sync, v1alpha1.PolicySource{Name: "release", SourceRef: ref})
	if err != nil {
		return err
	}
	a.revision = found.artifact.Revision
	return r.once(found.artifact.URL+"@"+found.artifact.Digest, func() (*artifact.Release, error) {
		return readArtifact(ctx, &found.artifact)
	})
}

func readArtifact(ctx context.Context, from *meta.Artifact) (*artifact.Release, error) {
	dir, err := fetch.Artifact(ctx, from)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	release, err := artifact.Read(os.DirFS(dir), artifact.DefaultLimits)
	if err != nil {
		return nil, fmt.Errorf("reading the release in %s: %w", from.URL, err)
	}
	return release, nil
}

func (r *Reconciler) once(from string, get func() (*artifact.Release, error)) error {
	if r.pulled.from == from {
		return nil
	}
	release, err := get()
	if err != nil {
		return retry(v1alpha1.ReasonFetchFailed, err)
	}
	r.pulled = pulled{from, release}
	return nil
}

// verify refuses what an agent would refuse that had all releases of this cluster: it
// would not be served to anybody, and its Release would stand in the way of the live
// one.
func (r *Reconciler) verify(ctx context.Context, a *attempt) error {
	releases, err := r.releases(ctx, r.Reader)
	if err != nil {
		return retry(v1alpha1.ReasonProgressingRetry, err)
	}
	a.releases = releases
	last := r.last(releases)
	for _, self := range audience(a.sync.Spec.Audience) {
		if a.accepted, err = sign.NewVerifier(r.Root, self).Check(a.signed, last, time.Now()); err != nil {
			conditions.MarkFalse(a.sync, v1alpha1.ConditionSourceVerified, v1alpha1.ReasonVerificationFailed, "%s", bounded(err.Error(), maxMessage))
			return stall(v1alpha1.ReasonVerificationFailed, fmt.Errorf("%s: %w", bounded(a.revision, 200), err))
		}
	}
	doc := a.accepted.Release
	var by []string
	for _, key := range a.accepted.SignedBy {
		by = append(by, cmp.Or(key.Owner, key.KeyID))
	}
	conditions.MarkTrue(a.sync, v1alpha1.ConditionSourceVerified, v1alpha1.ReasonSucceeded, "release %d is signed by %s, until %s",
		doc.Sequence, strings.Join(by, ", "), doc.ExpiresAt.UTC().Format(time.RFC3339))
	a.sync.Status.Diagnostics = summaryOf(doc)
	return nil
}

// audience is what agents of this cluster are configured for. Like them, without
// any it is one that no release names.
func audience(a *v1alpha1.Audience) []sign.Self {
	if a == nil {
		return []sign.Self{{}}
	}
	out := []sign.Self{}
	for _, cluster := range a.Clusters {
		out = append(out, sign.Self{Environment: a.Environment, Cluster: string(cluster)})
	}
	if len(out) == 0 {
		out = append(out, sign.Self{Environment: a.Environment})
	}
	return out
}

// last is the high-water mark of an agent that had every release that is known here.
func (r *Reconciler) last(releases []v1alpha1.Release) (s sign.State) {
	for i := range releases {
		doc, digest, err := r.Root.OpenRelease(envelopeOf(&releases[i]))
		if err != nil {
			continue // of a key that is gone: agents refuse it too
		}
		if doc.SequenceEpoch > s.Epoch || doc.SequenceEpoch == s.Epoch && doc.Sequence > s.Sequence {
			s.Epoch, s.Sequence, s.Release = doc.SequenceEpoch, doc.Sequence, digest
		}
	}
	return s
}

func envelopeOf(r *v1alpha1.Release) []byte {
	if len(r.Spec.Envelope) > 0 || r.Status.Signature == nil {
		return r.Spec.Envelope
	}
	return r.Status.Signature.Envelope
}

// publishSigned stores the content and makes its Release, as publish does, unless the
// document has one.
func (r *Reconciler) publishSigned(ctx context.Context, a *attempt) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	if err := r.Store.Put(ctx, a.signed); err != nil {
		return retry(v1alpha1.ReasonStoreFailed, fmt.Errorf("storing the release: %w", err))
	}
	for i := range a.releases {
		known := &a.releases[i]
		if _, digest, err := r.Root.OpenRelease(envelopeOf(known)); err == nil && digest == a.accepted.Digest {
			a.release = known
		}
	}
	if a.release == nil {
		a.release = r.newRelease(a, store.Key(a.signed).String(), a.releases)
		fromDocument(&a.release.Spec, a.accepted.Release)
		a.release.Spec.Envelope, a.release.Spec.Workloads = a.signed.Envelope(), int32(len(a.signed.Leaves()))
		if err := r.create(ctx, a); err != nil {
			return err
		}
	}
	return r.number(a.release)
}

// fromDocument says of a Release what its signed document says, and nothing of
// the PolicySync's own.
func fromDocument(spec *v1alpha1.ReleaseSpec, doc *sign.ReleaseDoc) {
	spec.Audience, spec.Validity = nil, nil
	spec.Commit = bounded(doc.Source.Commit, 128)
	spec.Revision = doc.Source.SourceBundleSHA256.String()
	if spec.Commit != "" {
		spec.Revision = cmp.Or(doc.Source.GitObjectFormat, "sha1") + ":" + spec.Commit
	}
	spec.Diagnostics = summaryOf(doc)
}

// summaryOf counts as the pipeline did. The findings themselves are in its log.
func summaryOf(doc *sign.ReleaseDoc) *v1alpha1.DiagnosticsSummary {
	f := doc.Analysis.Findings
	return &v1alpha1.DiagnosticsSummary{Errors: small(f.Critical + f.Error), Warnings: small(f.Warning), Waived: small(uint64(len(doc.Analysis.Waivers)))}
}

func small(n uint64) int32 { return int32(min(n, 1<<30)) }

// number puts the sequence of an envelope that came with a Release where that of the
// sign role is. It is an error where the root document does not accept it.
func (r *Reconciler) number(o *v1alpha1.Release) error {
	if len(o.Spec.Envelope) == 0 {
		return nil
	}
	o.Status.Sequence = 0
	doc, _, err := r.Root.OpenRelease(o.Spec.Envelope)
	if err != nil {
		return stall(v1alpha1.ReasonVerificationFailed, fmt.Errorf("the envelope of Release %s: %w", o.Name, err))
	}
	o.Status.Sequence = int64(doc.Sequence)
	return nil
}
