package deliver

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

func TestWatchSendsEachRelease(t *testing.T) {
	h := start(t)
	c := h.client(t, "catalog", time.Minute)
	w := updates(t, c, &deliveryv1.WatchRequest{Workload: "shop/catalog-v2"}) // before there is one
	for sequence := 1; sequence <= 3; sequence++ {
		r := shop(t, sequence)
		h.publish(t, r)
		checkUpdate(t, next(t, w), r, keyOf("catalog", "catalog-v2"))
	}
	late := updates(t, c, &deliveryv1.WatchRequest{Workload: "shop/catalog-v1"})
	checkUpdate(t, next(t, late), h.Live(), keyOf("catalog", "catalog-v1"))
}

// An agent that does not read gets the newest release, not all of them.
func TestWatchCoalesces(t *testing.T) {
	h := start(t)
	w := updates(t, h.client(t, "payment", time.Minute), &deliveryv1.WatchRequest{Workload: "shop/payment"})
	const last = 5000
	for sequence := 1; sequence <= last; sequence++ {
		r := shop(t, 1).WithEnvelope(bytes.Repeat([]byte{byte(sequence), byte(sequence >> 8)}, 8<<10))
		h.publish(t, r)
	}
	n := 0
	for want := h.Live().Envelope(); ; n++ {
		if bytes.Equal(next(t, w).GetEnvelope(), want) {
			break
		}
	}
	if n > last/2 {
		t.Errorf("%d updates were queued for an agent that did not read", n)
	}
}

func TestWatchRefuses(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	for name, tc := range map[string]struct {
		account string
		request *deliveryv1.WatchRequest
		want    codes.Code
	}{
		"nobody":             {"", &deliveryv1.WatchRequest{Workload: "shop/payment"}, codes.Unauthenticated},
		"another's workload": {"catalog", &deliveryv1.WatchRequest{Workload: "shop/payment"}, codes.PermissionDenied},
		"unknown workload":   {"catalog", &deliveryv1.WatchRequest{Workload: "shop/order"}, codes.NotFound},
		"no workload":        {"catalog", &deliveryv1.WatchRequest{}, codes.InvalidArgument},
		"long name":          {"catalog", &deliveryv1.WatchRequest{Workload: strings.Repeat("x", maxName+1)}, codes.InvalidArgument},
		"long envelope":      {"catalog", &deliveryv1.WatchRequest{Workload: "shop/catalog-v1", Envelope: make([]byte, maxEnvelope+1)}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := updates(t, h.client(t, tc.account, time.Minute), tc.request).Recv()
			if status.Code(err) != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// Neither a stream nor a connection outlives the identity that opened it.
func TestWatchEndsWithTheCertificate(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	c := h.client(t, "payment", 2*time.Second)
	w := updates(t, c, &deliveryv1.WatchRequest{Workload: "shop/payment"})
	next(t, w)
	if _, err := w.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
	report := &deliveryv1.ReportRequest{Workload: "shop/payment", State: deliveryv1.ReportRequest_STATE_APPLIED}
	if _, err := c.Report(withDeadline(t), report); status.Code(err) != codes.Unauthenticated {
		t.Errorf("on the same connection: %v", err)
	}
}

func TestWatchEndsWhenTheWorkloadIsGone(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	w := updates(t, h.client(t, "payment", time.Minute), &deliveryv1.WatchRequest{Workload: "shop/payment"})
	next(t, w)
	h.publish(t, release(t, 2, workload{"catalog", "catalog-v1", "c", "x"}))
	if _, err := w.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestShownEnvelopes(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	c := h.client(t, "payment", time.Minute)
	for _, envelope := range []string{"envelope 1", "", "envelope 7"} {
		next(t, updates(t, c, &deliveryv1.WatchRequest{Workload: "shop/payment", Envelope: []byte(envelope)}))
	}
	if got := string(<-h.shown); got != "envelope 7" || len(h.shown) != 0 {
		t.Errorf("shown %q and %d more, want the one that is not live", got, len(h.shown))
	}
}

func TestDrainLetsTheServerStop(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	w := updates(t, h.client(t, "payment", time.Minute), &deliveryv1.WatchRequest{Workload: "shop/payment"})
	next(t, w)
	stopped := make(chan struct{})
	go func() {
		h.Drain()
		h.rpc.GracefulStop()
		close(stopped)
	}()
	if _, err := w.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	select {
	case <-stopped:
	case <-time.After(deadline):
		t.Error("the server still waits for its agents")
	}
}

func fetch(t *testing.T, c deliveryv1.DeliveryClient, digests ...[]byte) ([]*deliveryv1.Blob, error) {
	t.Helper()
	stream, err := c.Fetch(withDeadline(t), &deliveryv1.FetchRequest{Digests: digests})
	if err != nil {
		return nil, err
	}
	var out []*deliveryv1.Blob
	for {
		b, err := stream.Recv()
		if err != nil {
			if len(out) == len(digests) {
				err = nil
			}
			return out, err
		}
		out = append(out, b)
	}
}

// An identity gets everything that its own leaves lead to, and nothing else.
func TestFetchIsOnesOwnSlice(t *testing.T) {
	h := start(t)
	r := shop(t, 1)
	h.publish(t, r)
	own := map[artifact.Digest]bool{}
	for _, w := range []string{"catalog-v1", "catalog-v2"} {
		leaf, _, _ := r.Lookup(keyOf("catalog", w))
		for _, d := range r.Closure(leaf) {
			own[d] = true
		}
	}
	payment, _, _ := r.Lookup(keyOf("payment", "payment"))
	all := slices.Concat(r.Closure(payment), slices.Collect(func(yield func(artifact.Digest) bool) {
		for d := range own {
			if !yield(d) {
				return
			}
		}
	}))
	c := h.client(t, "catalog", time.Minute)
	refused := 0
	for _, d := range all {
		blobs, err := fetch(t, c, d[:])
		switch {
		case !own[d] && status.Code(err) != codes.NotFound:
			t.Errorf("another's blob %s: %v", d, err)
		case !own[d]:
			refused++
		case err != nil:
			t.Error(err)
		case artifact.DigestOf(blobs[0].GetContent()) != d:
			t.Errorf("blob %s has other content", d)
		}
	}
	if refused < 3 { // slice, list and resource of payment
		t.Errorf("%d blobs of another were refused", refused)
	}
	for _, name := range []string{artifact.SourceMap} {
		data, _ := r.Aux(name)
		d := artifact.DigestOf(data)
		if _, err := fetch(t, c, d[:]); status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFetchReachesOneReleaseBack(t *testing.T) {
	h := start(t)
	first := shop(t, 1)
	d := artifact.DigestOf([]byte("catalog-v1 1"))
	h.publish(t, first)
	h.publish(t, shop(t, 2))
	c := h.client(t, "catalog", time.Minute)
	if _, err := fetch(t, c, d[:]); err != nil {
		t.Errorf("one release back: %v", err)
	}
	h.publish(t, shop(t, 3))
	if _, err := fetch(t, c, d[:]); status.Code(err) != codes.NotFound {
		t.Errorf("two releases back: %v", err)
	}
}

func TestFetchRefuses(t *testing.T) {
	h := start(t)
	c := h.client(t, "catalog", time.Minute)
	zero := make([]byte, 32)
	if _, err := fetch(t, c, zero); status.Code(err) != codes.NotFound {
		t.Errorf("before a release: %v", err)
	}
	h.publish(t, shop(t, 1))
	for name, tc := range map[string]struct {
		digests [][]byte
		want    codes.Code
	}{
		"none":     {nil, codes.InvalidArgument},
		"short":    {[][]byte{{1}}, codes.InvalidArgument},
		"too many": {slices.Repeat([][]byte{zero}, maxDigests+1), codes.InvalidArgument},
		"zero":     {[][]byte{zero}, codes.NotFound},
	} {
		stream, err := c.Fetch(withDeadline(t), &deliveryv1.FetchRequest{Digests: tc.digests})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != tc.want {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	if _, err := fetch(t, h.client(t, "", 0), zero); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
}

// A blob at the limit of the format arrives in one message.
func TestFetchLargeBlob(t *testing.T) {
	h := start(t)
	big := strings.Repeat("x", 16<<20)
	h.publish(t, release(t, 1, workload{"payment", "payment", "c", big}))
	stream, err := h.client(t, "payment", time.Minute).Fetch(withDeadline(t), &deliveryv1.FetchRequest{
		Digests: [][]byte{digestBytes(big)},
	}, maxBlobMessage())
	if err != nil {
		t.Fatal(err)
	}
	b, err := stream.Recv()
	if err != nil || len(b.GetContent()) != len(big) {
		t.Errorf("%d bytes, %v", len(b.GetContent()), err)
	}
}

// TestShownIsNotForStrangers: verifying an envelope costs signatures, and is done
// only for workloads of the release.
func TestShownIsNotForStrangers(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	w := updates(t, h.client(t, "payment", time.Minute), &deliveryv1.WatchRequest{Workload: "shop/order", Envelope: []byte("envelope 7")})
	if _, err := w.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
	if len(h.shown) != 0 {
		t.Error("the envelope of a workload that is not in the release is looked at")
	}
}

// TestReportsDoNotFillTheLog: a proxy that reports in a loop is heard, but not
// each time.
func TestReportsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	var f fleet
	n := 0
	for range 10 * wordsBurst {
		if f.loud(keyOf("payment", "payment")) {
			n++
		}
	}
	if n < wordsBurst || n > 2*wordsBurst {
		t.Errorf("%d of %d reports are logged", n, 10*wordsBurst)
	}
	if !f.loud(keyOf("catalog", "catalog-v1")) {
		t.Error("another workload is not heard")
	}
}
