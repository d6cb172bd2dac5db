package deliver

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// TestServe: client certificates are held to the roots of the moment, and a server
// that stops is unready first and leaves no stream open.
func TestServe(t *testing.T) {
	h := start(t) // for its CA and certificates
	serving, err := identity.NewServing(h.ca, []string{"127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := NewClientRoots(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Endpoints: endpoints.NewTable(), Log: slog.New(slog.DiscardHandler)})
	if err := s.Publish(shop(t, 1)); err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer(append(ServerOptions(), grpc.Creds(credentials.NewTLS(roots.TLS(serving.Get))))...)
	deliveryv1.RegisterDeliveryServer(rpc, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	unready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, rpc, l, Stop{Unready: time.Millisecond, Leave: 20 * time.Millisecond, End: time.Second}, func() { close(unready) })
	}()
	watch := func() (deliveryv1.Delivery_WatchClient, error) {
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: h.pool(), Certificates: []tls.Certificate{h.certificate(t, "payment", time.Minute)},
		})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		stream, err := deliveryv1.NewDeliveryClient(conn).Watch(withDeadline(t), &deliveryv1.WatchRequest{Workload: "shop/payment"})
		if err == nil {
			_, err = stream.Recv()
		}
		return stream, err
	}
	if _, err := watch(); err == nil {
		t.Error("a certificate of unknown roots is accepted")
	}
	if err := roots.Set([]byte("no certificate")); err == nil {
		t.Error("a bundle without a certificate is taken")
	}
	if err := roots.Set(nil, h.ca.RootPEM()); err != nil {
		t.Fatal(err)
	}
	stream, err := watch()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	<-unready
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable || err == io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
