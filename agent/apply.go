package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mesh-compile/mesh-compile/agent/drift"
	"github.com/mesh-compile/mesh-compile/agent/envoy"
	"github.com/mesh-compile/mesh-compile/agent/fetch"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// A rejection is content that Envoy did not take. It is not tried again until
// other content comes or the agent restarts: Envoy's answer would be the same.
type rejection struct {
	content content
	words   string
}

// content identifies what a proxy is given, whatever release it is part of.
type content struct {
	leaf  artifact.Digest
	roots artifact.Digest
}

func contentOf(r *verify.Release) content {
	return content{artifact.DigestOf(r.Record.Leaf), r.Release.Trust.BundleDigest}
}

// keepApplying takes one update after the other, and ends the grace of what
// they removed.
func (a *Agent) keepApplying(ctx context.Context) error {
	a.resume(ctx)
	prune := time.NewTimer(0)
	defer prune.Stop()
	var last *deliveryv1.Update
	var again <-chan time.Time // to fetch what could not be fetched
	slower := fetch.Backoff{First: 500 * time.Millisecond, Last: 10 * time.Second}
	for {
		select {
		case <-ctx.Done():
			return nil
		case last = <-a.updates:
			slower.Reset()
		case <-again:
		case <-prune.C:
			if next := a.xds.Prune(time.Now()); !next.IsZero() {
				prune.Reset(time.Until(next))
			}
			continue
		}
		again = nil
		if !a.take(ctx, last) {
			again = time.After(slower.Next())
		}
		prune.Reset(0)
	}
}

// take does all with one update, and says what became of it. It reports false when
// the download broke and the controller is still there: a connection that is lost
// brings the update again, and a controller that has too much to do does not.
func (a *Agent) take(ctx context.Context, u *deliveryv1.Update) (done bool) {
	r, err := a.receive(ctx, u)
	if err != nil {
		a.refuse(ctx, err)
		a.view(func() { done = sign.CodeOf(err) != "" || a.client == nil })
		return done
	}
	same := a.active != nil && contentOf(r) == contentOf(a.active)
	switch rejected := a.rejected; {
	case same:
		err = a.renewRelease(r)
	case rejected != nil && rejected.content == contentOf(r):
		if err = a.store.Advance(r.State, r.Record.Envelope); err == nil {
			a.tell(r, deliveryv1.ReportRequest_STATE_REJECTED, "envoy-refused", rejected.words)
		}
	default:
		if err = a.store.Begin(r.State, &r.Record); err == nil {
			a.activate(ctx, r)
		}
	}
	if err != nil {
		a.refuse(ctx, &sign.Error{Code: codeState, Err: err})
	}
	return true
}

// Codes of refusals that are the agent's own.
const codeState sign.Code = "agent-state" // what must be durable could not be stored

// receive verifies the roots, one by one and each stored before the next, and
// then the release.
func (a *Agent) receive(ctx context.Context, u *deliveryv1.Update) (*verify.Release, error) {
	root, err := a.followRoots(u.GetRoots())
	if err != nil {
		return nil, err
	}
	var self sign.Self
	fetch := verify.Fetch(func(context.Context, []artifact.Digest, func([]byte) error) error {
		return errors.New("the controller is gone")
	})
	a.view(func() {
		self = a.self()
		if a.client != nil {
			fetch = a.client.Blobs
		}
	})
	r, err := verify.Receive(ctx, sign.NewVerifier(root, self), u, a.store.State().Mark, time.Now(), a.store, fetch)
	if err != nil {
		return nil, err
	}
	return r, a.checkEnvoy(r)
}

// self is who this agent is: the name by its configuration, the identity by its
// credential. The lock is held.
func (a *Agent) self() sign.Self {
	s := sign.Self{Workload: a.config.Workload, Environment: a.config.Environment, Cluster: a.config.Cluster}
	if a.credential != nil {
		s.SPIFFEID = a.credential.SPIFFEID
	}
	return s
}

// maxRoots bounds the roots of one update.
const maxRoots = 64

func (a *Agent) followRoots(envelopes [][]byte) (root *sign.TrustedRoot, err error) {
	a.view(func() { root = a.root })
	if len(envelopes) > maxRoots {
		return nil, &sign.Error{Code: sign.RootTooLarge, Err: fmt.Errorf("%d root documents at once, at most %d are read", len(envelopes), maxRoots)}
	}
	for _, envelope := range envelopes {
		next, err := root.Next(envelope)
		if err != nil {
			return nil, err
		}
		if err := a.store.SetRoot(envelope); err != nil {
			return nil, &sign.Error{Code: codeState, Err: err}
		}
		root = next
		a.change(func() { a.root = next })
		a.config.Log.Info("trusts a new root", "version", next.Document().Version)
	}
	return root, nil
}

func (a *Agent) checkEnvoy(r *verify.Release) error {
	if err := envoy.CheckVersion(a.envoyVersion, r.Leaf.MinEnvoy); err != nil {
		return &sign.Error{Code: verify.ReleaseEnvoy, Err: err}
	}
	var minimum string
	a.view(func() { minimum = a.root.Document().MinEnvoyVersion })
	if err := envoy.CheckVersion(a.envoyVersion, minimum); err != nil {
		return &sign.Error{Code: verify.ReleaseEnvoy, Err: err}
	}
	return nil
}

// renewRelease: a later release with the content that Envoy has.
func (a *Agent) renewRelease(r *verify.Release) error {
	if err := a.store.Renew(r.State, &r.Record); err != nil {
		return err
	}
	a.change(func() {
		if a.active.Release.Sequence != r.Release.Sequence {
			a.appliedAt = time.Now()
		}
		a.active = r
	})
	a.tell(r, deliveryv1.ReportRequest_STATE_APPLIED, "", "")
	return nil
}

// activate gives a recorded release to Envoy, and takes it back if Envoy does
// not take it.
func (a *Agent) activate(ctx context.Context, r *verify.Release) {
	began := time.Now()
	err := a.put(ctx, r)
	if ctx.Err() != nil {
		return // it is recorded: the next start goes on with it
	}
	if err == nil {
		err = a.store.Commit()
	} else {
		a.rejected = &rejection{contentOf(r), err.Error()}
		err = errors.Join(err, a.store.Abandon(), a.putBack())
	}
	if err != nil {
		a.config.Log.Error("a release is rejected", "sequence", r.Release.Sequence, "error", err)
		a.tell(r, deliveryv1.ReportRequest_STATE_REJECTED, "envoy-refused", err.Error())
		return
	}
	a.rejected = nil
	a.change(func() { a.active, a.trying, a.appliedAt = r, nil, time.Now() })
	a.config.Log.Info("a release is live", "sequence", r.Release.Sequence, "took", time.Since(began).Round(time.Millisecond))
	a.tell(r, deliveryv1.ReportRequest_STATE_APPLIED, "", "")
	if err := a.sweep(); err != nil {
		a.config.Log.Warn("old blobs stay", "error", err)
	}
}

// put serves what a release needs first, and then the release.
func (a *Agent) put(ctx context.Context, r *verify.Release) error {
	snapshot, err := a.snapshot(r)
	if err != nil {
		return err
	}
	if err := a.prepare(ctx, r); err != nil {
		return err
	}
	known, cancel := context.WithTimeout(ctx, endpointsWait)
	defer cancel()
	if a.config.Controller != "" {
		a.book.Wait(known)
	}
	if err := a.serveEndpoints(a.book.Clusters()); err != nil {
		return err
	}
	if a.active != nil {
		return a.xds.Apply(ctx, snapshot)
	}
	// There is nothing to break.
	a.xds.Install(snapshot)
	a.startEnvoy()
	return a.xds.Settle(ctx)
}

// prepare puts in force what the listeners and clusters of r rely on. A policy
// that r does not need stays: listeners that drain go on asking.
func (a *Agent) prepare(ctx context.Context, r *verify.Release) error {
	if r.Bundle != nil {
		if err := a.authz.Load(ctx, r.Bundle); err != nil {
			return err
		}
	}
	if err := a.limit(r); err != nil {
		return err
	}
	a.change(func() {
		if a.trying = r; r == a.active {
			a.trying = nil
		}
	})
	return a.serveSecrets()
}

// putBack puts the last good release's things in force again.
func (a *Agent) putBack() error {
	if a.active == nil {
		a.change(func() { a.trying = nil })
		return nil
	}
	return errors.Join(a.prepare(context.Background(), a.active), a.serveEndpoints(a.book.Clusters()))
}

func (a *Agent) startEnvoy() { a.started.Do(func() { close(a.start) }) }

// maxWords bounds an error in a report, as the protocol says.
const maxWords = 4 << 10

// refuse tells that an update was not taken; the last good one goes on.
func (a *Agent) refuse(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	code := sign.CodeOf(err)
	if code == "" {
		code = "agent-fetch" // not the release's fault: the download broke
	}
	a.config.Log.Error("an update is refused", "code", code, "error", err)
	a.change(func() {
		a.status.refused(string(code), err.Error())
		a.report = a.newReport(deliveryv1.ReportRequest_STATE_REFUSED, string(code), err.Error())
		if a.active != nil {
			a.report.Sequence, a.report.ReleaseDigest = a.active.Release.Sequence, a.active.Digest[:]
		}
	})
}

// tell reports on a release that was verified.
func (a *Agent) tell(r *verify.Release, state deliveryv1.ReportRequest_State, code, words string) {
	a.change(func() {
		a.report = a.newReport(state, code, words)
		a.report.Sequence, a.report.ReleaseDigest = r.Release.Sequence, r.Digest[:]
		a.status.told(r, state, words)
	})
}

// clip bounds words of Envoy's or a controller's. A message with half a letter is
// one that gRPC does not send: the report, and with it the connection, would
// fail again and again.
func clip(words string) string {
	return strings.ToValidUTF8(words[:min(len(words), maxWords)], "")
}

// newReport returns a report; the lock is held.
func (a *Agent) newReport(state deliveryv1.ReportRequest_State, code, words string) *deliveryv1.ReportRequest {
	report := &deliveryv1.ReportRequest{
		Workload: a.config.Workload, Instance: a.config.Instance,
		State: state, Code: code, Error: clip(words), Drift: drift.Text(a.status.Drift),
		AgentVersion: Version, EnvoyVersion: a.envoyVersion,
	}
	if r := a.active; r != nil {
		report.RunningSequence, report.RunningDigest = r.Release.Sequence, r.Digest[:]
	}
	if !a.appliedAt.IsZero() {
		report.AppliedAt = timestamppb.New(a.appliedAt)
	}
	if r := a.current(); r != nil && !r.Release.Trust.BundleDigest.IsZero() {
		d := r.Release.Trust.BundleDigest
		report.TrustBundle = d[:]
	}
	return report
}
