package authz

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// TestAgreement asks a real Envoy with our RBAC, OPA and the agent with what this
// Envoy sends to ext_authz, and the evaluator. One listener takes mesh TLS, one
// plaintext; a header chooses whose rules apply.
func TestAgreement(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	r := newRandom(t)
	cases := make([]*check.Inbound, 60)
	for i := range cases {
		cases[i] = r.inbound(0)
	}
	p := runProxy(t, cases)
	for i, in := range cases {
		in.Port = uint32(p.port(true))
		plain := *in
		plain.Port = uint32(p.port(false))
		secured, plaintext := newOPA(t, in), newOPA(t, &plain)
		for k := range 30 {
			probe, asked := r.probe(), secured
			if probe.identity == "" {
				asked = plaintext
			}
			id := fmt.Sprintf("%d/%d", i, k)
			want, got := evaluated(in, &probe), p.ask(t, i, id, &probe)
			if want.Allow {
				want.Rule = "" // Envoy says why it denies
			}
			if got != want {
				t.Errorf("envoy: got %v, the evaluator says %v for %+v", got, want, probe)
			}
			want = evaluated(in, &probe)
			if got := asked.agent(t, p.recorder.request(t, id)); got != want {
				t.Errorf("agent: got %v, the evaluator says %v for %+v", got, want, probe)
			}
			for form, got := range asked.decisions(t, p.recorder.input(t, id)) {
				if got != want {
					t.Errorf("%s: got %v, the evaluator says %v for %+v", form, got, want, probe)
				}
			}
			if t.Failed() {
				rbac, _ := ForInbound(settings, in)
				t.Fatalf("under these rules:\ndeny %s\nallow %s", protojson.Format(rbac.Deny), protojson.Format(rbac.Allow))
			}
		}
	}
}

// proxy is an Envoy that decides by RBAC and tells a recorder what it would ask.
type proxy struct {
	recorder      *recorder
	secure, plain string
	clients       map[string]*http.Client // by identity and peer
}

func (p *proxy) port(secure bool) int {
	address := p.plain
	if secure {
		address = p.secure
	}
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return n
}

func runProxy(t *testing.T, cases []*check.Inbound) *proxy {
	t.Helper()
	rec, recAddress := runRecorder(t)
	p := &proxy{recorder: rec, secure: free(t), plain: free(t), clients: map[string]*http.Client{}}
	ca := newAuthority(t)
	hcm := connectionManager(t, cases)
	boot := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{
		Listeners: []*listenerv3.Listener{
			listener(t, p.secure, hcm, serverTLS(t, ca)), listener(t, p.plain, hcm, nil),
		},
		Clusters: []*clusterv3.Cluster{recorderCluster(t, recAddress)},
	}}
	boot.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
			Fields: map[string]*structpb.Value{"re2.max_program_size.error_level": structpb.NewNumberValue(32768)},
		}},
	}}}
	text, err := protojson.Marshal(boot)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Run(t, envoytest.Options{Bootstrap: text})
	for _, id := range identities {
		for _, peer := range peers {
			p.clients[id+peer] = client(t, ca, id, peer)
		}
	}
	return p
}

func free(t *testing.T) string {
	t.Helper()
	ip := envoytest.Loopback()
	port, err := envoytest.FreePort(ip)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(ip, strconv.Itoa(port))
}

func client(t *testing.T, ca *authority, identity, peer string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}}).DialContext}
	if identity != "" {
		transport.TLSClientConfig = &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t, identity)}, InsecureSkipVerify: true, //nolint:gosec // the server is ours
		}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask sends a probe and reads Envoy's verdict: a denial is named in the
// response code details.
func (p *proxy) ask(t *testing.T, number int, id string, q *probe) verdict {
	t.Helper()
	scheme, address := "http", p.plain
	if q.identity != "" {
		scheme, address = "https", p.secure
	}
	req := (&http.Request{
		Method: q.method, Host: q.host, Header: http.Header{},
		URL: &url.URL{Scheme: scheme, Host: address, Opaque: q.path},
	}).WithContext(context.WithoutCancel(t.Context()))
	for name, value := range q.headers {
		req.Header[http.CanonicalHeaderKey(name)] = value
	}
	req.Header.Set("x-case", strconv.Itoa(number))
	req.Header.Set("x-probe", id)
	resp, err := p.clients[q.identity+q.peer].Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	details := string(body)
	switch rule, denied := strings.CutPrefix(details, "rbac_access_denied_matched_policy["); {
	case denied:
		rule = strings.TrimSuffix(rule, "]")
		return verdict{Rule: strings.TrimPrefix(rule, "none")}
	case details != "direct_response":
		t.Fatalf("%+v: %s: %s", q, resp.Status, details)
	}
	return verdict{Allow: true}
}

// connectionManager chooses RBAC by x-case. Both RBAC filters are the ones that
// a sidecar has, in its order.
func connectionManager(t *testing.T, cases []*check.Inbound) *hcmv3.HttpConnectionManager {
	t.Helper()
	host := &routev3.VirtualHost{Name: "cases", Domains: []string{"*"}}
	for i, in := range cases {
		rbac, err := ForInbound(settings, in)
		if err != nil {
			t.Fatal(err)
		}
		host.Routes = append(host.Routes, &routev3.Route{
			Match: &routev3.RouteMatch{
				PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"},
				Headers: []*routev3.HeaderMatcher{{Name: "x-case", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
					StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: strconv.Itoa(i)}},
				}}},
			},
			Action:               &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
			TypedPerFilterConfig: map[string]*anypb.Any{"deny": perRoute(t, rbac.Deny), "allow": perRoute(t, rbac.Allow)},
		})
	}
	return &hcmv3.HttpConnectionManager{
		StatPrefix: "cases", NormalizePath: wrapperspb.Bool(true), MergeSlashes: true,
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_REJECT_REQUEST,
		UseRemoteAddress:             wrapperspb.Bool(false),
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{
			RouteConfig: &routev3.RouteConfiguration{Name: "cases", VirtualHosts: []*routev3.VirtualHost{host}},
		},
		LocalReplyConfig: &hcmv3.LocalReplyConfig{BodyFormat: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%RESPONSE_CODE_DETAILS%"},
			}},
		}},
		HttpFilters: []*hcmv3.HttpFilter{
			httpFilter(t, "ask", &extauthzv3.ExtAuthz{
				TransportApiVersion: corev3.ApiVersion_V3,
				Services:            &extauthzv3.ExtAuthz_GrpcService{GrpcService: recorderService()},
				EncodeRawHeaders:    true,
			}),
			httpFilter(t, "deny", &rbacv3.RBAC{}), httpFilter(t, "allow", &rbacv3.RBAC{}),
			httpFilter(t, "router", &routerv3.Router{}),
		},
	}
}

func perRoute(t *testing.T, rules *rbacconfigv3.RBAC) *anypb.Any {
	out := &rbacv3.RBACPerRoute{}
	if rules != nil {
		if err := rules.ValidateAll(); err != nil {
			t.Fatal(err)
		}
		out.Rbac = &rbacv3.RBAC{Rules: rules}
	}
	return packed(t, out)
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func httpFilter(t *testing.T, name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, m)}}
}

func address(t *testing.T, hostPort string) *corev3.Address {
	t.Helper()
	host, text, _ := net.SplitHostPort(hostPort)
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

func listener(t *testing.T, at string, hcm *hcmv3.HttpConnectionManager, secured *corev3.TransportSocket) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name: at, Address: address(t, at),
		FilterChains: []*listenerv3.FilterChain{{
			TransportSocket: secured,
			Filters: []*listenerv3.Filter{{
				Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, hcm)},
			}},
		}},
	}
}

func serverTLS(t *testing.T, ca *authority) *corev3.TransportSocket {
	t.Helper()
	inline := func(s string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
	}
	cert, key := pemOf(t, ca.issue(t, "spiffe://td/ns/shop/sa/callee"))
	roots, _ := pemOf(t, tls.Certificate{Certificate: [][]byte{ca.cert.Raw}, PrivateKey: ca.key})
	return &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: packed(t, &tlsv3.DownstreamTlsContext{
			RequireClientCertificate: wrapperspb.Bool(true),
			CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsCertificates: []*tlsv3.TlsCertificate{{CertificateChain: inline(cert), PrivateKey: inline(key)}},
				ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{
					ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(roots)},
				},
			},
		}),
	}}
}

func recorderService() *corev3.GrpcService {
	return &corev3.GrpcService{
		Timeout: durationpb.New(10 * time.Second), // 200 ms where unset, too little for a busy machine
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "recorder"},
		},
	}
}

func recorderCluster(t *testing.T, at string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 "recorder",
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(t, &upstreamhttpv3.HttpProtocolOptions{
				UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
					ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
						ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
							Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
						},
					},
				},
			}),
		},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: "recorder",
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(t, at)}},
			}}}},
		},
	}
}
