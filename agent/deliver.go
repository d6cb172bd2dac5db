package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/agent/fetch"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// spread is how long the agents of a replica that goes away take to leave it, or
// to come back to another: each waits for a part of it that chance gives.
const spread = 2 * time.Second

// keepConnected watches the controller, and comes back after every loss.
func (a *Agent) keepConnected(ctx context.Context) error {
	lost := fetch.Backoff{First: 250 * time.Millisecond, Last: 10 * time.Second}
	// The live release does not have the workload (yet, or again): the controller
	// is well, and the release that brings it must not wait for a long pause.
	unknown := fetch.Backoff{First: time.Second, Last: 2 * time.Second}
	for a.waitCredential(ctx) {
		began := time.Now()
		err := a.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		a.config.Log.Warn("lost the controller", "controller", a.config.Controller, "error", err)
		a.change(func() { a.status.ControllerError = err.Error(); a.status.Connected = false })
		wait := lost.Wait
		switch {
		case grpcstatus.Code(err) == codes.NotFound:
			wait = unknown.Wait
		case time.Since(began) > lost.Last:
			lost.Reset()
			wait = waitSpread
		}
		if !wait(ctx) {
			return nil
		}
	}
	return nil
}

func waitSpread(ctx context.Context) bool {
	return sleepUntil(ctx, time.Now().Add(rand.N(spread)))
}

func (a *Agent) waitCredential(ctx context.Context) bool {
	for {
		var have bool
		changed := a.view(func() { have = a.credential != nil })
		if have {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// errMoves ends the streams of a connection that another one follows.
var errMoves = errors.New("the controller closes the connection")

// connect runs the streams until they are lost. A controller that only asks to
// leave (GOAWAY) has the agent at another replica before it ends.
func (a *Agent) connect(ctx context.Context) error {
	config, err := a.tlsConfig(a.config.ControllerName)
	if err != nil {
		return err
	}
	client, err := fetch.Dial(a.config.Controller, config)
	if err != nil {
		return err
	}
	defer client.Close()
	a.change(func() { a.client = client })
	defer a.change(func() { a.client = nil })
	for {
		if err := a.stream(ctx, client); !errors.Is(err, errMoves) {
			return err
		}
		a.config.Log.Info("goes to another connection: the controller asks to", "controller", a.config.Controller)
	}
}

// stream runs the streams; the first that ends, ends all. Blobs that are on their
// way come by the old connection while new streams use the next.
func (a *Agent) stream(ctx context.Context, client *fetch.Client) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return client.Watch(ctx, a.watchRequest(), a.enqueue) })
	group.Go(func() error { return a.keepReporting(ctx, client) })
	group.Go(func() error { return a.watchEndpoints(ctx, client) })
	group.Go(func() error {
		if err := client.Leaving(ctx); err != nil {
			return err
		}
		if !waitSpread(ctx) {
			return ctx.Err()
		}
		return errMoves
	})
	return group.Wait()
}

func (a *Agent) watchRequest() *deliveryv1.WatchRequest {
	state := a.store.State()
	return &deliveryv1.WatchRequest{
		Workload: a.config.Workload, Sequence: state.Mark.Sequence, Envelope: state.Proof,
		AgentVersion: Version, EnvoyVersion: a.envoyVersion, Instance: a.config.Instance,
	}
}

// enqueue keeps the newest update: those between were never going to be served.
func (a *Agent) enqueue(u *deliveryv1.Update) {
	a.change(func() { a.status.Connected, a.status.ControllerError = true, "" })
	for {
		select {
		case a.updates <- u:
			return
		case <-a.updates:
		}
	}
}

// keepReporting sends each new report once.
func (a *Agent) keepReporting(ctx context.Context, client *fetch.Client) error {
	var sent *deliveryv1.ReportRequest
	for {
		var report *deliveryv1.ReportRequest
		changed := a.view(func() { report = a.report })
		if report != nil && report != sent {
			if err := client.Report(ctx, report); err != nil {
				return err
			}
			sent = report
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// watchEndpoints subscribes to the clusters of the release in force.
func (a *Agent) watchEndpoints(ctx context.Context, client *fetch.Client) error {
	names := make(chan []string)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return client.Endpoints(ctx, a.config.Workload, names, a.book.Update)
	})
	group.Go(func() error { return a.sendClusters(ctx, names) })
	return group.Wait()
}
