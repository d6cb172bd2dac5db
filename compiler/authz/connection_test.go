package authz

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// TestConnections is TestAgreement for ports without requests.
func TestConnections(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	r, ca := newRandom(t), newAuthority(t)
	rec, recorderAddress := runRecorder(t)
	certificates := map[string]tls.Certificate{}
	for _, id := range identities[1:] {
		certificates[id] = ca.issue(t, id)
	}
	boot := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{
		Clusters: []*clusterv3.Cluster{recorderCluster(t, recorderAddress)},
	}}
	type port struct {
		*check.Inbound
		at string
	}
	ports := map[bool][]port{} // with and without TLS
	for range 25 {
		in := r.connections(0)
		for secure, transport := range map[bool]*corev3.TransportSocket{true: serverTLS(t, ca), false: nil} {
			at, own := free(t), *in
			own.Port = address(t, at).GetSocketAddress().GetPortValue()
			ports[secure] = append(ports[secure], port{&own, at})
			boot.StaticResources.Listeners = append(boot.StaticResources.Listeners, &listenerv3.Listener{
				Name: at, Address: address(t, at),
				FilterChains: []*listenerv3.FilterChain{{TransportSocket: transport, Filters: connectionFilters(t, in)}},
			})
		}
	}
	text, err := protojson.Marshal(boot)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Run(t, envoytest.Options{Bootstrap: text})
	for i := range ports[true] {
		for range 6 {
			p := probe{identity: pick(r, identities), peer: pick(r, peers)}
			in := ports[p.identity != ""][i]
			passed, id := echoes(t, in.at, &p, certificates)
			want := evaluated(in.Inbound, &p)
			if passed != want.Allow {
				t.Errorf("envoy: got %t, the evaluator says %v for %+v", passed, want, p)
			}
			asked := newOPA(t, in.Inbound)
			if got := asked.agent(t, rec.request(t, id)); got != want {
				t.Errorf("agent: got %v, the evaluator says %v for %+v", got, want, p)
			}
			for form, got := range asked.decisions(t, rec.input(t, id)) {
				if got != want {
					t.Errorf("%s: got %v, the evaluator says %v for %+v", form, got, want, p)
				}
			}
			if t.Failed() {
				rbac, _ := ForInbound(settings, in.Inbound)
				t.Fatalf("under these rules:\ndeny %s\nallow %s", protojson.Format(rbac.Deny), protojson.Format(rbac.Allow))
			}
		}
	}
}

// connectionFilters ask the recorder, enforce RBAC, and echo.
func connectionFilters(t *testing.T, in *check.Inbound) []*listenerv3.Filter {
	t.Helper()
	filter := func(name string, m proto.Message) *listenerv3.Filter {
		return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, m)}}
	}
	out := []*listenerv3.Filter{filter("ask", &extauthzv3.ExtAuthz{
		StatPrefix: "ask", TransportApiVersion: corev3.ApiVersion_V3, GrpcService: recorderService(),
	})}
	rbac, err := ForInbound(settings, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, rules := range []*rbacconfigv3.RBAC{rbac.Deny, rbac.Allow} {
		if rules != nil {
			out = append(out, filter("rbac", &rbacv3.RBAC{StatPrefix: "rbac", Rules: rules}))
		}
	}
	return append(out, filter("echo", &echov3.Echo{}))
}

// echoes reports whether a byte comes back, and the caller's port.
func echoes(t *testing.T, at string, p *probe, certificates map[string]tls.Certificate) (bool, string) {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(p.peer)}}).Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	if p.identity != "" {
		conn = tls.Client(conn, &tls.Config{
			Certificates: []tls.Certificate{certificates[p.identity]}, InsecureSkipVerify: true, //nolint:gosec // the server is ours
		})
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	switch _, err := conn.Read(make([]byte, 1)); {
	case err == nil:
		return true, port
	case !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET):
		t.Fatalf("%+v: %v", p, err)
	}
	return false, port
}
