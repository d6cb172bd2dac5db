package deliver

import (
	"context"
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// TestStrangersAreNotRead: a client without a certificate opens a stream and
// sends nothing. The handler, which would wait for its message, must not run.
func TestStrangersAreNotRead(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	conn, err := grpc.NewClient(h.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: h.pool()})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, method := range []string{
		deliveryv1.Delivery_Watch_FullMethodName, deliveryv1.Delivery_Fetch_FullMethodName,
		deliveryv1.Delivery_WatchEndpoints_FullMethodName, deliveryv1.Delivery_Report_FullMethodName, "/no.such/Method",
	} {
		stream, err := conn.NewStream(withDeadline(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(new(deliveryv1.Update)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestJoiningIsBounded: strangers that only begin to ask for a certificate do not
// stay, and do not keep more than their share.
func TestJoiningIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		issue := &tap.Info{FullMethodName: deliveryv1.Identity_Issue_FullMethodName}
		var last context.Context
		for range maxJoiningFrom {
			ctx, err := g.admit(t.Context(), issue)
			if err != nil {
				t.Fatal(err)
			}
			last = ctx
		}
		if _, err := g.admit(t.Context(), issue); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(joinTime)
		synctest.Wait()
		if last.Err() == nil {
			t.Error("a stream that says nothing stays")
		}
	})
}

func TestCallsOfOneIdentityAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate(false)
	first, end := context.WithCancel(t.Context())
	some := quota{"id a", 2}
	for _, ctx := range []context.Context{first, t.Context()} {
		if err := g.enter(ctx, some); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.enter(t.Context(), quota{"all", 9}, some); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a third: %v", err)
	}
	if err := g.enter(t.Context(), quota{"id b", 2}); err != nil {
		t.Errorf("another identity: %v", err)
	}
	end()
	for start := time.Now(); g.enter(t.Context(), some) != nil; time.Sleep(time.Millisecond) {
		if time.Since(start) > deadline {
			t.Fatal("a call that has ended still counts")
		}
	}
	if g.open["all"] != 0 {
		t.Error("a call that was turned away counts")
	}
}
