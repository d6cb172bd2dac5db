package feature_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// interop is the service of gRPC's own interoperability tests, as a workload offers
// it. It says which workload it is in its metadata.
type interop struct {
	testpb.UnimplementedTestServiceServer
	name string

	mu    sync.Mutex
	calls int
	fail  codes.Code // of EmptyCall
}

// serveInterop has a real server behind an application answer calls of the service.
// The server's ServeHTTP would not do: it never answers with trailers alone, where
// Envoy reads the status that it retries on (RetryStateImpl::wouldRetryFromHeaders).
func serveInterop(t *testing.T, e *envoytest.Echo) *interop {
	t.Helper()
	listener, err := net.Listen("tcp", envoytest.Loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &interop{name: e.Name}, grpc.NewServer()
	testpb.RegisterTestServiceServer(server, s)
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(server.Stop)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	app := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: listener.Addr().String()})
	app.Transport = transport
	// At the deadline that Envoy passes on in grpc-timeout, grpc-go's server resets the
	// stream without a status. It may be a little earlier than the caller's proxy.
	app.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", strconv.Itoa(int(codes.DeadlineExceeded)))
	}
	for method := range strings.FieldsSeq("EmptyCall UnaryCall StreamingOutputCall StreamingInputCall FullDuplexCall HalfDuplexCall") {
		e.Handle("/grpc.testing.TestService/"+method, app)
	}
	return s
}

func (s *interop) failing(code codes.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.calls = code, 0
}

func (s *interop) counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// EmptyCall fails as the test said.
func (s *interop) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != codes.OK {
		return nil, status.Error(s.fail, "as the test said")
	}
	return &testpb.Empty{}, grpc.SetHeader(ctx, metadata.Pairs("x-name", s.name))
}

// UnaryCall answers with the status that is asked for, and who the caller is in the
// trailers.
func (s *interop) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	grpc.SetHeader(ctx, metadata.Pairs("x-name", s.name))                             //nolint:errcheck // the test misses it
	grpc.SetTrailer(ctx, metadata.Pairs("x-caller", strings.Join(in.Get(xfcc), ","))) //nolint:errcheck // the test misses it
	if want := r.GetResponseStatus(); want.GetCode() != 0 {
		return nil, status.Error(codes.Code(want.GetCode()), want.GetMessage())
	}
	return &testpb.SimpleResponse{Payload: r.GetPayload()}, nil
}

const xfcc = "x-forwarded-client-cert"

// StreamingOutputCall answers once for each size, after its interval.
func (s *interop) StreamingOutputCall(r *testpb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	for _, p := range r.GetResponseParameters() {
		select {
		case <-time.After(time.Duration(p.GetIntervalUs()) * time.Microsecond):
		case <-out.Context().Done():
			return out.Context().Err()
		}
		if err := out.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall sums the sizes.
func (s *interop) StreamingInputCall(in grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		r, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(r.GetPayload().GetBody())
	}
}

// FullDuplexCall answers each message before the next.
func (s *interop) FullDuplexCall(both grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		r, err := both.Recv()
		if errors.Is(err, io.EOF) {
			both.SetTrailer(metadata.Pairs("x-name", s.name))
			return nil
		}
		if err != nil {
			return err
		}
		if err := both.Send(&testpb.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

// caller is a real client of gRPC behind its workload's proxy.
type caller struct {
	*testing.T
	testpb.TestServiceClient
	run *meshtest.Mesh
}

func calls(t *testing.T, run *meshtest.Mesh, from, authority string) caller {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:"+run.Outbound(from),
		grpc.WithAuthority(authority), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return caller{t, testpb.NewTestServiceClient(conn), run}
}

// context bounds a call that nothing answers.
func (c caller) context() context.Context {
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	c.Cleanup(cancel)
	return ctx
}

func (c caller) want(what string, code codes.Code, err error) {
	c.Helper()
	if status.Code(err) != code {
		c.Errorf("%s: want %s, got %v", what, code, err)
	}
}

// grpcRows: the folder's routes send calls of one method to next, all others to
// catalog; retries, timeout and fault are those of the dialects that have them.
func grpcRows(more ...func(caller, *interop)) func(*testing.T, *check.Mesh, *meshtest.Mesh) {
	return func(t *testing.T, _ *check.Mesh, run *meshtest.Mesh) {
		catalog := serveInterop(t, run.Echoes("shop/catalog")[0])
		serveInterop(t, run.Echoes("shop/next")[0])
		c := calls(t, run, "shop/order", "catalog.shop:8080")
		unary(c)
		streams(c)
		stranger := calls(t, run, "shop/cron", "catalog.shop:8080")
		_, err := stranger.EmptyCall(stranger.context(), &testpb.Empty{})
		stranger.want("a caller whom the callee's proxy does not allow", codes.PermissionDenied, err)
		for _, show := range more {
			show(c, catalog)
		}
	}
}

// unary: messages, statuses with their words, metadata before and after.
func unary(c caller) {
	var before, after metadata.MD
	payload := &testpb.Payload{Body: slices.Repeat([]byte("x"), 200_000)} // more than a window
	got, err := c.UnaryCall(c.context(), &testpb.SimpleRequest{Payload: payload}, grpc.Header(&before), grpc.Trailer(&after))
	if err != nil || len(got.GetPayload().GetBody()) != 200_000 {
		c.Errorf("a call with %d bytes: %v", len(payload.GetBody()), err)
	}
	if name := before.Get("x-name"); !slices.Equal(name, []string{"shop/catalog"}) {
		c.Errorf("answered by %q, want catalog", name)
	}
	if who := after.Get("x-caller"); len(who) != 1 || !strings.Contains(who[0], "/sa/order") {
		c.Errorf("the trailer says of the caller %q, want the identity of order", who)
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable {
			continue // is retried in some folders
		}
		_, err := c.UnaryCall(c.context(), &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: int32(code), Message: "100% \u00e9"}})
		if s := status.Convert(err); s.Code() != code || s.Message() != "100% \u00e9" {
			c.Errorf("status %s: got %v", code, err)
		}
	}
	_, err = c.UnimplementedCall(c.context(), &testpb.Empty{})
	c.want("a method that the application does not have", codes.Unknown, err) // an Echo's JSON is no answer of gRPC's
}

// streams: each kind, the messages as they come and not at the end.
func streams(c caller) {
	out, err := c.StreamingOutputCall(c.context(), &testpb.StreamingOutputCallRequest{
		ResponseParameters: []*testpb.ResponseParameters{{Size: 1}, {Size: 70_000}, {Size: 3}}})
	sizes := []int{}
	for err == nil {
		var m *testpb.StreamingOutputCallResponse
		if m, err = out.Recv(); err == nil {
			sizes = append(sizes, len(m.GetPayload().GetBody()))
		}
	}
	if !errors.Is(err, io.EOF) || !slices.Equal(sizes, []int{1, 70_000, 3}) {
		c.Errorf("a stream of answers: %d, %v", sizes, err)
	}

	in, err := c.StreamingInputCall(c.context())
	for k := 1; k <= 3 && err == nil; k++ {
		err = in.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: make([]byte, k)}})
	}
	if err != nil {
		c.Fatal(err)
	}
	if sum, err := in.CloseAndRecv(); err != nil || sum.GetAggregatedPayloadSize() != 6 {
		c.Errorf("a stream of requests: %v, %v", sum, err)
	}

	both, err := c.FullDuplexCall(c.context())
	for k := 1; k <= 3 && err == nil; k++ {
		var m *testpb.StreamingOutputCallResponse
		if err = both.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: make([]byte, k)}}); err == nil {
			if m, err = both.Recv(); err == nil && len(m.GetPayload().GetBody()) != k {
				err = fmt.Errorf("%d bytes are answered by %d", k, len(m.GetPayload().GetBody()))
			}
		}
	}
	if err != nil {
		c.Fatalf("a stream both ways: %v", err)
	}
	both.CloseSend() //nolint:errcheck // Recv says it
	if _, err := both.Recv(); !errors.Is(err, io.EOF) || !slices.Equal(both.Trailer().Get("x-name"), []string{"shop/next"}) {
		c.Errorf("a stream both ways ended with %v and trailers %v, want next's", err, both.Trailer())
	}
}

// grpcRetries: a status that the policy names is tried again, another is not.
func grpcRetries(tries int) func(caller, *interop) {
	return func(c caller, catalog *interop) {
		for code, want := range map[codes.Code]int{codes.Unavailable: tries, codes.ResourceExhausted: 1} {
			catalog.failing(code)
			_, err := c.EmptyCall(c.context(), &testpb.Empty{})
			c.want("a call that fails", code, err)
			if got := catalog.counted(); got != want {
				c.Errorf("a call that fails with %s was made %d times, want %d", code, got, want)
			}
		}
		catalog.failing(codes.OK)
	}
}

// grpcTimeout: the client, which sets no deadline of its own that is near, learns of
// the route's.
func grpcTimeout(c caller, _ *interop) {
	began := time.Now()
	out, err := c.StreamingOutputCall(c.context(), &testpb.StreamingOutputCallRequest{
		ResponseParameters: []*testpb.ResponseParameters{{Size: 1, IntervalUs: 10_000_000}}})
	if err == nil {
		_, err = out.Recv()
	}
	c.want("a stream beyond the route's timeout", codes.DeadlineExceeded, err)
	if took := time.Since(began); took > 5*time.Second {
		c.Errorf("the timeout of 400ms took %s", took)
	}
}

// grpcAbort: a fault is a status of gRPC's.
func grpcAbort(c caller, catalog *interop) {
	before := catalog.counted()
	_, err := c.EmptyCall(metadata.AppendToOutgoingContext(c.context(), "x-fault", "yes"), &testpb.Empty{})
	c.want("a call with a fault", codes.DataLoss, err)
	if catalog.counted() != before {
		c.Error("a call with a fault arrived")
	}
}
