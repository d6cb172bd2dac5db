package agent

import (
	"context"

	"github.com/mesh-compile/mesh-compile/agent/store"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// restore serves the last good release, if there is one, without a controller.
// An Envoy that runs already finds that nothing has changed; otherwise one is
// started.
func (a *Agent) restore() bool {
	record := a.store.State().Current
	if record == nil || a.currentCredential() == nil {
		return false
	}
	r, err := a.reopen(record)
	if err == nil {
		err = a.install(r)
	}
	if err != nil {
		// The controller can help; serving half of it would not.
		a.config.Log.Error("the last good release is lost", "error", err)
		a.change(func() { a.status.refused(string(sign.CodeOf(err)), err.Error()) })
		return false
	}
	a.startEnvoy()
	a.config.Log.Info("the last good release is served", "sequence", r.Release.Sequence)
	a.tell(r, deliveryv1.ReportRequest_STATE_APPLIED, "", "")
	return true
}

func (a *Agent) reopen(record *store.Record) (*verify.Release, error) {
	var root *sign.TrustedRoot
	var self sign.Self
	a.view(func() { root, self = a.root, a.self() })
	return verify.Restore(root, self, *record, a.store)
}

func (a *Agent) install(r *verify.Release) error {
	snapshot, err := a.snapshot(r)
	if err != nil {
		return err
	}
	if err := a.prepare(context.Background(), r); err != nil {
		return err
	}
	if data, err := a.store.Read(endpointsFile); err == nil && data != nil {
		if err := a.book.Restore(data); err != nil {
			a.config.Log.Warn("stored endpoints are lost", "error", err)
		}
	}
	if err := a.serveEndpoints(a.book.Known()); err != nil {
		return err
	}
	a.xds.Install(snapshot)
	a.change(func() { a.active, a.trying = r, nil })
	return nil
}

// resume goes on with a release that was recorded and not finished when the
// agent ended.
func (a *Agent) resume(ctx context.Context) {
	record := a.store.State().Next
	if record == nil || a.currentCredential() == nil {
		return
	}
	r, err := a.reopen(record)
	if err != nil {
		a.refuse(ctx, err)
		return
	}
	a.activate(ctx, r)
}

// sweep removes blobs that neither the current nor the previous release needs.
func (a *Agent) sweep() error {
	keep := map[artifact.Digest]bool{}
	state := a.store.State()
	for _, record := range []*store.Record{state.Next, state.Current, state.Previous} {
		if record == nil {
			continue
		}
		if err := a.keepBlobs(record, keep); err != nil {
			return err
		}
	}
	return a.store.Sweep(keep)
}

func (a *Agent) keepBlobs(record *store.Record, keep map[artifact.Digest]bool) error {
	r, err := a.reopen(record)
	if err != nil {
		return err
	}
	leaf := r.Leaf
	for _, d := range []artifact.Digest{leaf.Slice, leaf.Bundle, leaf.Constraints, leaf.AgentPolicy, r.Release.Trust.BundleDigest} {
		keep[d] = true
	}
	slice, _ := a.store.Blob(leaf.Slice)
	lists, err := artifact.DecodeSlice(slice)
	if err != nil {
		return err
	}
	for _, list := range lists {
		keep[list] = true
	}
	for _, resource := range r.Resources {
		keep[resource.Digest] = true
	}
	return nil
}
