package standalone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/durable"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// origin says where a release came from, for its document.
func (c *controller) origin(commit, tree string, findings sign.Findings) signer.Origin {
	return signer.Origin{
		Commit: commit, Tree: tree, Findings: findings, Validity: c.cfg.ReleaseValidity,
		Audience: sign.Audience{Environment: c.cfg.Environment, Clusters: c.cfg.Clusters},
	}
}

func countFindings(l diag.List) sign.Findings {
	return sign.Findings{
		Critical: uint64(l.Count(diag.Critical)), Error: uint64(l.Count(diag.Error)),
		Warning: uint64(l.Count(diag.Warning)), Info: uint64(l.Count(diag.Info)),
	}
}

// publish signs a release and makes it live. The sequence number is durable
// before the signature exists. The release itself is stored later, by the loop: a
// restart that finds the one before signs this one again under a higher number.
func (c *controller) publish(r *artifact.Release, from signer.Origin) error {
	sequence, err := c.signer.Next(c.seen)
	if err != nil {
		return err
	}
	signed, err := c.signer.Sign(r, sequence, from, c.live, time.Now())
	if err != nil {
		return err
	}
	if err := c.storeFacts(r); err != nil {
		return fmt.Errorf("writing the workloads: %w", err)
	}
	c.unstored = true
	return c.serve(signed)
}

// store writes the live release, for the next start.
func (c *controller) store() {
	if !c.unstored || c.live == nil {
		return
	}
	c.unstored = false
	if err := c.live.Release.Write(c.cfg.releaseDir()); err != nil {
		c.log.Error("the live release is not stored: a restart begins with the one before", "sequence", c.live.Doc.Sequence, "error", err)
	}
}

// serve makes a signed release live.
func (c *controller) serve(live *signer.Signed) error {
	r, doc := live.Release, live.Doc
	bundle, _ := trustBundle(r)
	if err := c.trust.set(bundle); err != nil {
		return err
	}
	// Endpoints come first: an agent that has the release asks for those of its new
	// clusters at once.
	if err := c.resolve(r); err != nil {
		return err
	}
	if err := c.deliver.Publish(r); err != nil {
		return err
	}
	c.live = live
	c.serving.Store(c.live)
	c.status.publish(c.live)
	c.log.Info("release is live", "sequence", doc.Sequence, "content", doc.ContentDigest.String(),
		"commit", doc.Source.Commit, "workloads", len(r.Leaves()), "expires", doc.ExpiresAt.Time)
	return nil
}

func trustBundle(r *artifact.Release) ([]byte, bool) {
	d, ok := r.Shared(artifact.TrustBundle)
	if !ok {
		return nil, false
	}
	return r.Blob(d)
}

// resolve keeps the endpoints that the release's policies write in the table.
func (c *controller) resolve(r *artifact.Release) error {
	data, ok := r.Aux(artifact.Discovery)
	if !ok {
		return nil // made by an earlier version: agents keep the endpoints they have
	}
	if bytes.Equal(data, c.discovery) {
		return nil
	}
	services, err := artifact.DecodeDiscovery(data)
	if err != nil {
		return err
	}
	c.discovery = data
	c.resolver.Set(endpoints.Written(services))
	return nil
}

// storeFacts writes what goes with a release, if it is not written yet. It comes
// before agents have the release: join tokens are made from it.
func (c *controller) storeFacts(r *artifact.Release) error {
	f := facts{Version: 1, Workloads: map[string]string{}}
	for _, l := range r.Leaves() {
		f.Workloads[l.Workload] = l.SPIFFEID
	}
	data, err := json.Marshal(f)
	if err != nil || bytes.Equal(data, c.stored) {
		return err
	}
	if err := durable.ReplaceFile(c.cfg.factsFile(), data, 0o600); err != nil {
		return err
	}
	c.stored = data
	return nil
}

// restore serves the stored release, so that agents are served before anything
// is compiled, and when nothing compiles.
func (c *controller) restore() error {
	r, err := artifact.Read(os.DirFS(c.cfg.releaseDir()), artifact.DefaultLimits)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the stored release: %w", err)
	}
	doc, digest, err := c.keys.root.OpenRelease(r.Envelope())
	if err != nil {
		return fmt.Errorf("reading the stored release: %w", err)
	}
	if c.live = (&signer.Signed{Release: r, Doc: doc, Digest: digest}); c.renewIn() > 0 {
		live, err := signer.Check(c.keys.root, r, time.Now())
		if err != nil {
			return err
		}
		return c.serve(live)
	}
	// It is old. That it once was good is checked as of when it was signed.
	if _, _, err := sign.CheckRelease(c.keys.root, r, doc.NotBefore.Time); err != nil {
		return fmt.Errorf("checking the stored release: %w", err)
	}
	return c.again()
}

// shown is told the envelope that an agent runs. A release that our own key
// signed, and that is not behind the live one, means that the ledger was lost or
// set back: the live release has to be signed again above it.
func (c *controller) shown(envelope []byte) {
	doc, digest, err := c.keys.root.OpenRelease(envelope)
	if err != nil {
		return // of another mesh, or of a key that is gone
	}
	if now := c.serving.Load(); now != nil {
		if doc.SequenceEpoch != now.Doc.SequenceEpoch || doc.Sequence < now.Doc.Sequence ||
			doc.Sequence == now.Doc.Sequence && digest == now.Digest {
			return
		}
	}
	select {
	case c.ahead <- doc.Sequence:
	default: // another is being looked at; the agent comes again
	}
}

// climb signs the live release again above a sequence that an agent has seen.
func (c *controller) climb(seen uint64) error {
	c.seen = max(c.seen, seen)
	if c.live == nil || c.live.Doc.Sequence > seen {
		return nil
	}
	c.log.Warn("an agent has a release that is not known here: signing above it", "sequence", seen)
	return c.again()
}

// again signs the live release anew.
func (c *controller) again() error {
	doc := c.live.Doc
	return c.publish(c.live.Release, c.origin(doc.Source.Commit, doc.Source.Tree, doc.Analysis.Findings))
}

// renewIn is how long the live release lasts until it is to be signed again.
func (c *controller) renewIn() time.Duration {
	if c.live == nil {
		return c.cfg.ReleaseValidity
	}
	return time.Until(signer.RenewAt(c.live.Doc))
}

// sameContent reports whether r is what is live already.
func (c *controller) sameContent(r *artifact.Release) bool {
	return c.live != nil && c.live.Release.Digest() == r.Digest() && bytes.Equal(c.live.Release.Manifest(), r.Manifest())
}
