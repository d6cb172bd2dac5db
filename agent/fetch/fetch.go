// Package fetch is the agent's side of the Delivery and Identity services.
//
// In go the controller's address and how to know it; out come messages. None
// of them is believed for having come from there: blobs are compared with the
// digests asked for, and package verify judges the rest.
package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

const (
	// maxMessage is one blob and what goes around it.
	maxMessage = 64<<20 + 1<<10
	// batch is how many digests the protocol takes at once.
	batch = 4096
	// quiet is how long a stream of blobs may say nothing.
	quiet = 30 * time.Second
	// callTimeout bounds a call with one answer.
	callTimeout = 10 * time.Second
)

// A Client talks to one controller.
type Client struct {
	conn     *grpc.ClientConn
	delivery deliveryv1.DeliveryClient
	identity deliveryv1.IdentityClient
}

// Dial returns a client that connects when it is used. The TLS configuration
// says who the controller must be and which certificate to show. The name is
// resolved for every connection: behind it may be other replicas each time.
func Dial(target string, config *tls.Config) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///"+target,
		grpc.WithContextDialer(anyReplica),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// A controller that is gone without a word is noticed within a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting to controller %s: %w", target, err)
	}
	return &Client{conn: conn, delivery: deliveryv1.NewDeliveryClient(conn), identity: deliveryv1.NewIdentityClient(conn)}, nil
}

// Leaving returns nil when the connection was there and takes no more calls: the
// controller has asked to leave it (GOAWAY), or it is lost. Calls that run go on
// while they can; new ones make a connection of their own.
func (c *Client) Leaving(ctx context.Context) error {
	for was := false; ; {
		state := c.conn.GetState()
		if state != connectivity.Ready && was {
			return nil
		}
		was = state == connectivity.Ready
		if !c.conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

// Close ends all calls.
func (c *Client) Close() { c.conn.Close() }

// Watch hands on each update until the stream ends, which is always an error.
func (c *Client) Watch(ctx context.Context, r *deliveryv1.WatchRequest, each func(*deliveryv1.Update)) error {
	stream, err := c.delivery.Watch(ctx, r)
	for err == nil {
		var u *deliveryv1.Update
		if u, err = stream.Recv(); err == nil {
			each(u)
		}
	}
	return fmt.Errorf("watching releases: %w", err)
}

// Blobs fetches blobs and hands on each that is what was asked for. It
// implements verify.Fetch.
func (c *Client) Blobs(ctx context.Context, digests []artifact.Digest, each func([]byte) error) error {
	for len(digests) > 0 {
		n := min(len(digests), batch)
		if err := c.blobs(ctx, digests[:n], each); err != nil {
			return err
		}
		digests = digests[n:]
	}
	return nil
}

func (c *Client) blobs(ctx context.Context, digests []artifact.Digest, each func([]byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request := &deliveryv1.FetchRequest{}
	for _, d := range digests {
		request.Digests = append(request.Digests, d[:])
	}
	stalled := time.AfterFunc(quiet, func() { cancel(fmt.Errorf("no blob for %s", quiet)) })
	defer stalled.Stop()
	stream, err := c.delivery.Fetch(ctx, request)
	if err != nil {
		return fmt.Errorf("fetching blobs: %w", err)
	}
	for _, d := range digests {
		blob, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &sign.Error{Code: sign.ReleaseBlobMissing, Err: fmt.Errorf("fetching blobs: the answer ends before %s", d)}
		}
		if err != nil {
			return fmt.Errorf("fetching blob %s: %w", d, errors.Join(err, context.Cause(ctx)))
		}
		stalled.Reset(quiet)
		if got := artifact.DigestOf(blob.GetContent()); got != d {
			return &sign.Error{Code: sign.ReleaseDigest, Err: fmt.Errorf("fetching blob %s: the content has digest %s", d, got)}
		}
		if err := each(blob.GetContent()); err != nil {
			return err
		}
	}
	return nil
}

// Endpoints subscribes to clusters, again whenever they change, and hands on
// what comes.
func (c *Client) Endpoints(ctx context.Context, workload string, clusters <-chan []string, each func(*deliveryv1.EndpointsUpdate)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.delivery.WatchEndpoints(ctx)
	if err != nil {
		return fmt.Errorf("watching endpoints: %w", err)
	}
	go func() {
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case names := <-clusters:
				if stream.Send(&deliveryv1.EndpointsRequest{Workload: workload, Clusters: names}) != nil {
					return
				}
			}
		}
	}()
	for {
		u, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("watching endpoints: %w", err)
		}
		each(u)
	}
}

// Report tells the controller what this proxy runs.
func (c *Client) Report(ctx context.Context, r *deliveryv1.ReportRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := c.delivery.Report(ctx, r); err != nil {
		return fmt.Errorf("reporting state: %w", err)
	}
	return nil
}

// Issue asks for a certificate.
func (c *Client) Issue(ctx context.Context, csr []byte, token string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.identity.Issue(ctx, &deliveryv1.IssueRequest{Csr: csr, Token: token})
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate: %w", err)
	}
	return r.GetChain(), nil
}

// Backoff are the pauses between attempts: exponential, each drawn from the
// whole interval, so that agents that lost one controller do not come back
// together.
type Backoff struct {
	First, Last time.Duration
	attempt     int
}

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	limit := b.Last
	if b.attempt < 30 {
		limit = min(b.Last, b.First<<b.attempt)
	}
	b.attempt++
	return b.First/2 + rand.N(limit)
}

// Reset begins anew after a success.
func (b *Backoff) Reset() { b.attempt = 0 }

// Wait sleeps for the next pause; it reports false when ctx ends first.
func (b *Backoff) Wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(b.Next()):
		return true
	}
}
