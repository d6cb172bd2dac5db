package agent

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
)

const endpointsFile = "endpoints"

// endpointsWait is how long a release waits for the endpoints of clusters that
// it brings. Then they are served as empty.
const endpointsWait = 2 * time.Second

// limit holds the book to a release.
func (a *Agent) limit(r *verify.Release) error {
	limits, err := endpoints.NewLimits(r.Constraints)
	if err != nil {
		return err
	}
	apps := map[string]netip.AddrPort{}
	for _, in := range r.AgentPolicy.Inbound {
		apps[in.Cluster] = a.config.App.At(in.Port)
	}
	a.book.SetLimits(limits, apps)
	a.book.SetPlace(a.place(r))
	return nil
}

// place is where this proxy is: by its own configuration, else by policy. Where
// neither says, the controller does.
func (a *Agent) place(r *verify.Release) locality.Place {
	out, _ := locality.Parse(cmp.Or(a.config.Locality, r.AgentPolicy.Locality))
	return out
}

// serveEndpoints gives Envoy what the book says about clusters.
func (a *Agent) serveEndpoints(clusters []string) error {
	assignments, err := a.book.Assignments(clusters)
	if err != nil {
		return err
	}
	a.xds.SetEndpoints(assignments)
	return nil
}

// sendClusters subscribes, and again when a release changes the clusters.
func (a *Agent) sendClusters(ctx context.Context, names chan<- []string) error {
	var sent []string
	for first := true; ; first = false {
		changed := a.book.Changed()
		if want := a.book.Clusters(); first || !slices.Equal(want, sent) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case names <- want:
				sent = want
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// keepEndpoints serves what changes. Clusters that nothing was said about are
// left to the release that brings them.
func (a *Agent) keepEndpoints(ctx context.Context) error {
	for {
		changed := a.book.Changed()
		if err := a.serveEndpoints(a.book.Known()); err != nil {
			a.config.Log.Error("endpoints are not served", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// storeEndpoints keeps them for a start without a controller.
func (a *Agent) storeEndpoints(ctx context.Context) error {
	stored, _ := a.store.Read(endpointsFile) // one that does not read is written anew
	for {
		changed := a.book.Changed()
		data, err := a.book.Encode()
		if err == nil && len(data) > 0 && string(data) != string(stored) {
			err = a.store.Write(endpointsFile, data)
			stored = data
			// Pods that come and go by the hundred are one write.
			if !sleepUntil(ctx, time.Now().Add(time.Second)) {
				return nil
			}
		}
		if err != nil {
			a.config.Log.Error("endpoints are not stored", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// serveRestored serves the endpoints that were stored. A new Envoy then gets
// empty answers for the other clusters, so that it starts; one that has been
// running knows better than this agent, and is told nothing until the
// controller says something.
func (a *Agent) serveRestored(ctx context.Context) error {
	known, cancel := context.WithTimeout(ctx, endpointsWait)
	defer cancel()
	a.book.Wait(known)
	if ctx.Err() != nil || a.envoy.State().Adopted {
		return nil
	}
	return a.serveEndpoints(a.book.Clusters())
}
