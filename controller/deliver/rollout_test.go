package deliver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// TestRollout: a workload gets the live release when it is reached, the one before
// until then, and nothing twice.
func TestRollout(t *testing.T) {
	h := start(t)
	first, second := shop(t, 1), release(t, 2,
		workload{"catalog", "catalog-v1", "outbound|8080||inventory.shop", "catalog-v1 2"},
		workload{"payment", "payment", "outbound|8080||bank.shop", "payment 2"},
		workload{"fresh", "fresh", "outbound|8080||bank.shop", "fresh"},
	)
	reached := func(names ...string) func(string) bool {
		return func(w string) bool { return strings.Contains(strings.Join(names, " "), strings.TrimPrefix(w, "shop/")) }
	}
	rollout := func(names ...string) {
		t.Helper()
		if err := h.PublishRollout(Rollout{Live: second, Sequence: 2, Fallback: first, FallbackSequence: 1, Reached: reached(names...)}); err != nil {
			t.Fatal(err)
		}
	}
	h.publish(t, first)
	watch := func(account, name string) deliveryv1.Delivery_WatchClient {
		return updates(t, h.client(t, account, time.Minute), &deliveryv1.WatchRequest{Workload: "shop/" + name})
	}
	catalog, payment := watch("catalog", "catalog-v1"), watch("payment", "payment")
	checkUpdate(t, next(t, catalog), first, keyOf("catalog", "catalog-v1"))
	checkUpdate(t, next(t, payment), first, keyOf("payment", "payment"))
	rollout("catalog-v1")
	checkUpdate(t, next(t, catalog), second, keyOf("catalog", "catalog-v1"))
	// One that the release before does not know has nothing else to run.
	checkUpdate(t, next(t, watch("fresh", "fresh")), second, keyOf("fresh", "fresh"))
	// One that the live release does not know any more runs on until it is reached.
	gone := watch("catalog", "catalog-v2")
	checkUpdate(t, next(t, gone), first, keyOf("catalog", "catalog-v2"))
	checkUpdate(t, next(t, watch("payment", "payment")), first, keyOf("payment", "payment"))
	// One that has a later release than the one before would refuse it.
	watching := h.Watchers()
	ahead := updates(t, h.client(t, "payment", time.Minute), &deliveryv1.WatchRequest{Workload: "shop/payment", Sequence: 2})
	for ctx := withDeadline(t); h.Watchers() == watching; {
		if ctx.Err() != nil {
			t.Fatal("the agent does not watch")
		}
	}
	rollout("catalog-v1", "payment")
	checkUpdate(t, next(t, payment), second, keyOf("payment", "payment"))
	checkUpdate(t, next(t, ahead), second, keyOf("payment", "payment"))
	h.publish(t, second)
	if _, err := gone.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("%v after the end of the rollout", err)
	}
	// Blobs of the release before are there until the next.
	leaf, _, _ := first.Lookup(keyOf("payment", "payment"))
	fetch := func() error {
		stream, err := h.client(t, "payment", time.Minute).Fetch(withDeadline(t), &deliveryv1.FetchRequest{Digests: [][]byte{leaf.Slice[:]}})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	if err := fetch(); err != nil {
		t.Error(err)
	}
	h.publish(t, second)
	third := shop(t, 3)
	h.publish(t, third)
	checkUpdate(t, next(t, catalog), third, keyOf("catalog", "catalog-v1")) // nothing between: the second was not sent again
	if got := len(h.current().releases); got != 2 {
		t.Errorf("%d releases are kept", got)
	}
}

// TestTokens: who has no certificate is known by a token, and has the time of a
// review to be known, whatever the call lasts after.
func TestTokens(t *testing.T) {
	h := startWith(t, func(o *Options) {
		o.Tokens = peer.NewTokens(func(_ context.Context, token string) (peer.Peer, error) {
			if token == "down" {
				return peer.Peer{}, fmt.Errorf("no answer")
			}
			account, ok := strings.CutPrefix(token, "token of ")
			if !ok {
				return peer.Peer{}, peer.ErrRefused
			}
			return peer.Peer{ID: spiffeid.RequireFromString(id(account)), Expires: time.Now().Add(time.Minute)}, nil
		})
	})
	h.publish(t, shop(t, 1))
	watch := func(token, workload string) (deliveryv1.Delivery_WatchClient, error) {
		ctx := withDeadline(t)
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		stream, err := h.client(t, "", 0).Watch(ctx, &deliveryv1.WatchRequest{Workload: workload})
		if err != nil {
			return nil, err
		}
		_, err = stream.Recv()
		return stream, err
	}
	for _, refused := range []struct {
		token, workload string
		code            codes.Code
	}{
		{"", "shop/payment", codes.Unauthenticated},
		{"stolen", "shop/payment", codes.Unauthenticated},
		{"down", "shop/payment", codes.Unavailable},
		{"token of catalog", "shop/payment", codes.PermissionDenied},
	} {
		if _, err := watch(refused.token, refused.workload); status.Code(err) != refused.code {
			t.Errorf("%q: %v, want %s", refused.token, err, refused.code)
		}
	}
	stream, err := watch("token of payment", "shop/payment")
	if err != nil {
		t.Fatal(err)
	}
	second := shop(t, 2)
	h.publish(t, second)
	checkUpdate(t, next(t, stream), second, keyOf("payment", "payment"))
}

// TestStrangersTime: a call is cut off when nobody is introduced, and not after.
func TestStrangersTime(t *testing.T) {
	g := newGate(true)
	g.joinTime = 50 * time.Millisecond
	known, err := g.admitStranger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := introduce(known, "spiffe://x/y"); err != nil {
		t.Fatal(err)
	}
	unknown, err := g.admitStranger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-unknown.Done()
	if err := introduce(unknown, "spiffe://x/y"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v when the time is over", err)
	}
	if known.Err() != nil {
		t.Errorf("%v for a caller who is known", known.Err())
	}
	if g.open["joining"] != 0 || g.open["id spiffe://x/y"] != 1 {
		t.Errorf("open: %v", g.open)
	}
}

// TestNear: hints hold where every endpoint has some and one is for the zone.
func TestNear(t *testing.T) {
	end := func(last byte, near string, draining bool) endpoints.Endpoint {
		return endpoints.Endpoint{Address: netip.AddrFrom4([4]byte{10, 0, 0, last}), Near: near, Draining: draining}
	}
	both := []endpoints.Endpoint{end(1, "a", false), end(2, "a,b", false), end(3, "b", false), end(4, "b", true)}
	for _, test := range []struct {
		name, zone string
		all        []endpoints.Endpoint
		want       string
	}{
		{"the zone's", "b", both, "2 3 4"},
		{"the other zone's", "a", both, "1 2"},
		{"no zone", "", both, "1 2 3 4"},
		{"a zone without any", "c", both, "1 2 3 4"},
		{"one that only drains", "b", []endpoints.Endpoint{end(1, "a", false), end(4, "b", true)}, "1 4"},
		{"one without a hint", "a", append([]endpoints.Endpoint{end(9, "", false)}, both...), "9 1 2 3 4"},
		{"one without, that drains", "a", append([]endpoints.Endpoint{end(9, "", true)}, both...), "1 2"},
	} {
		zone := test.zone
		if !hinted(test.all) {
			zone = ""
		}
		var got []string
		for _, e := range near(test.all, zone) {
			got = append(got, fmt.Sprint(e.Address.As4()[3]))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}
