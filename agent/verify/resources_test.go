package verify_test

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3" // is refused by name
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// Parts of the resources below.
const (
	adsSource = `{"ads":{},"resourceApiVersion":"V3"}`
	meshTLS   = `"commonTlsContext":{
		"tlsCertificateSdsSecretConfigs":[{"name":"default","sdsConfig":` + adsSource + `}],
		"combinedValidationContext":{
			"defaultValidationContext":{"matchTypedSubjectAltNames":[{"sanType":"URI","matcher":{"exact":"spiffe://a/b"}}]},
			"validationContextSdsSecretConfig":{"name":"ROOTCA","sdsConfig":` + adsSource + `}}}`
	tlsType     = `"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.`
	upstream    = `{"name":"tls","typedConfig":{` + tlsType + `UpstreamTlsContext",` + meshTLS + `}}`
	downstream  = `{"name":"tls","typedConfig":{` + tlsType + `DownstreamTlsContext","requireClientCertificate":true,` + meshTLS + `}}`
	live        = `{"name":"live","type":"EDS","edsClusterConfig":{"edsConfig":` + adsSource + `},"transportSocket":` + upstream + `}`
	application = `{"name":"app","type":"EDS","edsClusterConfig":{"edsConfig":` + adsSource + `}}`
	hcmType     = `"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"`
	routerType  = `{"name":"router","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}`
	extAuthz    = `{"name":"authz","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",` +
		`"grpcService":{"envoyGrpc":{"clusterName":"agent"}}}}`
	inbound = `{"name":"in","address":{"socketAddress":{"address":"0.0.0.0","portValue":80}},"filterChains":[{"transportSocket":` + downstream +
		`,"filters":[{"name":"hcm","typedConfig":{` + hcmType + `,"statPrefix":"in","httpFilters":[` + extAuthz + `,` + routerType +
		`],"routeConfig":{"name":"in"}}}]}]}`
	outbound = `{"name":"out","address":{"socketAddress":{"address":"127.0.0.1","portValue":15001}},"filterChains":[{"filters":[{"name":"hcm","typedConfig":{` +
		hcmType + `,"statPrefix":"out","httpFilters":[` + routerType + `],"rds":{"routeConfigName":"out","configSource":` + adsSource + `}}}]}]}`
	tcpType = `"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"`
	routes  = `{"name":"out","virtualHosts":[{"name":"a","domains":["*"]}]}`
)

// static is a cluster's signed address.
func static(address string) string {
	return `"type":"STATIC","loadAssignment":{"clusterName":"app","endpoints":[{"lbEndpoints":[{"endpoint":{"address":{"socketAddress":{"address":"` +
		address + `","portValue":15020}}}}]}]}`
}

// resource reads JSON as the kind that its contents name.
func resource(t *testing.T, text string) artifact.Resource {
	t.Helper()
	var m interface {
		proto.Message
		GetName() string
	}
	switch {
	case strings.Contains(text, `"filterChains"`):
		m = &listenerv3.Listener{}
	case strings.Contains(text, `"virtualHosts"`):
		m = &routev3.RouteConfiguration{}
	default:
		m = &clusterv3.Cluster{}
	}
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return artifact.NewResource("type.googleapis.com/"+string(m.ProtoReflect().Descriptor().FullName()), m.GetName(), data)
}

func content(t *testing.T, engine string, texts ...string) *sign.Loaded {
	t.Helper()
	l := &sign.Loaded{Content: artifact.Content{
		Bundle: []byte("bundle"),
		AgentPolicy: artifact.AgentPolicy{Engine: engine,
			Inbound:  []artifact.InboundPort{{Port: 80, Cluster: "app"}},
			Outbound: []artifact.OutboundPort{{Port: 15001, Listener: "out"}},
			Gateway:  []artifact.GatewayPort{{Port: 443, Listener: "edge"}}},
		Constraints: artifact.Constraints{Clusters: []artifact.ClusterConstraint{{Name: "live", MTLS: true, SANs: []string{"spiffe://a/b"}}}},
	}}
	for _, text := range texts {
		l.Resources = append(l.Resources, resource(t, text))
	}
	return l
}

func TestGoodResources(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{artifact.EngineOPA, artifact.EngineRBAC} {
		percent := strings.Replace(routes, `"domains":["*"]`, `"domains":["*"],"responseHeadersToAdd":[{"header":{"key":"x","value":"%%ENVIRONMENT(A)%%"}}]`, 1)
		outside := strings.Replace(strings.Replace(application, `"app"`, `"db"`, 1), `"type":"EDS","edsClusterConfig":{"edsConfig":`+adsSource+`}`, static("192.0.2.1"), 1)
		if err := verify.Resources(content(t, engine, live, application, inbound, outbound, percent, outside)); err != nil {
			t.Errorf("%s: %v", engine, err)
		}
	}
}

// TestInvariants spoils one thing at a time: old becomes new in the resource.
func TestInvariants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, old, new, says string }{
		{"client certificate", inbound, `"requireClientCertificate":true,`, ``, "without a client certificate"},
		{"subject", inbound, `"matchTypedSubjectAltNames":[{"sanType":"URI","matcher":{"exact":"spiffe://a/b"}}]`, ``, "trusts everyone"},
		{"own roots", live, `"defaultValidationContext":{`, `"defaultValidationContext":{"trustedCa":{"inlineString":"x"},`, "roots of its own"},
		{"untrusted", live, `"defaultValidationContext":{`, `"defaultValidationContext":{"trustChainVerification":"ACCEPT_UNTRUSTED",`, "untrusted or expired"},
		{"expired", live, `"defaultValidationContext":{`, `"defaultValidationContext":{"allowExpiredCertificate":true,`, "untrusted or expired"},
		{"another identity", live, `spiffe://a/b`, `spiffe://a/c`, `pins "spiffe://a/c"`},
		{"another secret", live, `"name":"default"`, `"name":"other"`, `secret "other" is not one of the agent's`},
		{"plaintext", live, `,"transportSocket":` + upstream, ``, "live endpoints without TLS"},
		{"transport by metadata", live, `"type":"EDS"`, `"type":"EDS","transportSocketMatches":[{"name":"a"}]`, "may not choose their transport"},
		{"endpoints of another", live, `"edsClusterConfig":{`, `"edsClusterConfig":{"serviceName":"other",`, `the endpoints of "other"`},
		{"unsigned cluster", application, `"app"`, `"other"`, "does not pin who answers"},
		{"the agent's name", application, `"app"`, `"agent"`, "the agent's own"},
		{"remote endpoints", live, `"edsConfig":{"ads":{}`, `"edsConfig":{"pathConfigSource":{"path":"/tmp/x"}`, "only come from the agent"},
		{"remote secrets", live, `"sdsConfig":{"ads":{}`, `"sdsConfig":{"apiConfigSource":{"apiType":"GRPC"}`, "only come from the agent"},
		{"address by header", application, `"type":"EDS","edsClusterConfig":{"edsConfig":` + adsSource + `}`,
			`"type":"ORIGINAL_DST","originalDstLbConfig":{"useHttpHeader":true}`, "may not choose its address"},
		{"route to the agent", routes, `"domains":["*"]`, `"domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"agent"}}]`, "may not be sent to the agent"},
		{"weighted to the agent", routes, `"domains":["*"]`, `"domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"weightedClusters":{"clusters":[{"name":"agent","weight":1}]}}}]`, "may not be sent to the agent"},
		{"mirror to the agent", inbound, `"routeConfig":{"name":"in"}`, `"routeConfig":{"name":"in","requestMirrorPolicies":[{"cluster":"agent"}]}`, "may not be sent to the agent"},
		{"TCP to the agent", outbound, `"name":"hcm","typedConfig":{`, `"name":"tcp","typedConfig":{` + tcpType + `,"statPrefix":"x","cluster":"agent"}},{"name":"hcm","typedConfig":{`, "may not be sent to the agent"},
		{"past access rules", routes, `"domains":["*"]`, `"domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"app"}}]`, "only an inbound listener may lead to it"},
		{"cluster by header", routes, `"domains":["*"]`, `"domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"clusterHeader":"x-to"}}]`, `header "x-to" may not choose`},
		{"route without ext_authz", inbound, `"routeConfig":{"name":"in"}`, `"routeConfig":{"name":"in","typedPerFilterConfig":{"authz":{"@type":"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute","disabled":true}}}`, "unless it leads nowhere"},
		{"route without RBAC", inbound, `"routeConfig":{"name":"in"}`, `"routeConfig":{"name":"in","typedPerFilterConfig":{"rbac":{"@type":"type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"}}}`, "unless it leads nowhere"},
		{"route to somewhere without RBAC", inbound, `"routeConfig":{"name":"in"}`, `"routeConfig":{"name":"in","virtualHosts":[{"name":"a","domains":["*"],"routes":[{"match":{"prefix":"/"},"redirect":{},"typedPerFilterConfig":{"rbac":{"@type":"type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"}}}]}]}`, "unless it leads nowhere"},
		{"virtual host without RBAC", inbound, `"routeConfig":{"name":"in"}`, `"routeConfig":{"name":"in","virtualHosts":[{"name":"a","domains":["*"],"routes":[{"match":{"prefix":"/"},"directResponse":{"status":404}}],"typedPerFilterConfig":{"rbac":{"@type":"type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"}}}]}`, "unless it leads nowhere"},
		{"route without a filter", inbound, `"routeConfig":{"name":"in"}`, `"routeConfig":{"name":"in","typedPerFilterConfig":{"authz":{"@type":"type.googleapis.com/envoy.config.route.v3.FilterConfig","disabled":true}}}`, "may not switch a filter off"},
		{"RBAC may be off", inbound, extAuthz, `{"name":"rbac","disabled":true,"typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"}},` + extAuthz, "does not enforce"},
		{"upgrade around filters", inbound, `"statPrefix":"in"`, `"statPrefix":"in","upgradeConfigs":[{"upgradeType":"websocket","filters":[` + routerType + `]}]`, "may not have filters of its own"},
		{"log to a file", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog","path":"/root/.ssh/authorized_keys"}}]`, "not on the list"},
		{"environment in a header", routes, `"domains":["*"]`, `"domains":["*"],"responseHeadersToAdd":[{"header":{"key":"x","value":"%%%ENVIRONMENT(TOKEN)%"}}]`, "what the proxy alone knows"},
		{"environment in a log", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog","logFormat":{"jsonFormat":{"x":"%ENVIRONMENT(TOKEN)%"}}}}]`, "what the proxy alone knows"},
		{"environment in a metric", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config","statPrefix":"x","counters":[{"stat":{"name":"x","tags":[{"name":"x","valueFormat":"%ENVIRONMENT(TOKEN)%"}]},"valueFixed":1}]}}]`, "what the proxy alone knows"},
		{"file in a log", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog","logFormat":{"textFormatSource":{"filename":"/etc/shadow"}}}}]`, "not the release's to read"},
		{"file by a log's format", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog","logFormat":{"textFormatSource":{"inlineString":"%FILE_CONTENT(/etc/shadow)%"}}}}]`, "what the proxy alone knows"},
		{"log to the agent", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig","grpcService":{"envoyGrpc":{"clusterName":"agent"}}}}]`, "may not be sent to the agent"},
		{"log to the application", outbound, `"statPrefix":"out"`, `"statPrefix":"out","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig","grpcService":{"envoyGrpc":{"clusterName":"app"}}}}]`, "only an inbound listener may lead to it"},
		{"log past clusters", inbound, `"statPrefix":"in"`, `"statPrefix":"in","accessLog":[{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig","grpcService":{"googleGrpc":{"targetUri":"x","statPrefix":"x"}}}}]`, "only go to a cluster of the release"},
		{"traces to the agent by Zipkin", inbound, `"statPrefix":"in"`, `"statPrefix":"in","tracing":{"provider":{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig","collectorCluster":"agent","collectorEndpoint":"/"}}}`, "may not be sent to the agent"},
		{"traces to the application by Zipkin", outbound, `"statPrefix":"out"`, `"statPrefix":"out","tracing":{"provider":{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig","collectorCluster":"app","collectorEndpoint":"/"}}}`, "only an inbound listener may lead to it"},
		{"traces to the agent", inbound, `"statPrefix":"in"`, `"statPrefix":"in","tracing":{"provider":{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig","grpcService":{"envoyGrpc":{"clusterName":"agent"}}}}}`, "may not be sent to the agent"},
		{"traces to the agent over HTTP", inbound, `"statPrefix":"in"`, `"statPrefix":"in","tracing":{"provider":{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig","httpService":{"httpUri":{"uri":"http://x","cluster":"agent","timeout":"1s"}}}}}`, "may not be sent to the agent"},
		{"Zipkin's traces to the agent over HTTP", inbound, `"statPrefix":"in"`, `"statPrefix":"in","tracing":{"provider":{"name":"x","typedConfig":{"@type":"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig","collectorService":{"httpUri":{"uri":"http://x","cluster":"agent","timeout":"1s"}}}}}`, "may not be sent to the agent"},
		{"environment in a span", inbound, `"statPrefix":"in"`, `"statPrefix":"in","tracing":{"customTags":[{"tag":"x","environment":{"name":"TOKEN"}}]}`, "not the release's to tell"},
		{"health log to a file", live, `"type":"EDS"`, `"type":"EDS","healthChecks":[{"timeout":"1s","interval":"1s","unhealthyThreshold":1,"healthyThreshold":1,"tcpHealthCheck":{},"eventLogPath":"/tmp/x"}]`, "not the release's to write"},
		{"key log", live, `"commonTlsContext":{`, `"commonTlsContext":{"keyLog":{"path":"/tmp/x"},`, "may not be written down"},
		{"ticket keys", inbound, `"requireClientCertificate":true,`, `"requireClientCertificate":true,"sessionTicketKeys":{"keys":[{"inlineString":"x"}]},`, "can be any client"},
		{"old TLS", live, `"commonTlsContext":{`, `"commonTlsContext":{"tlsParams":{"tlsMinimumProtocolVersion":"TLSv1_0"},`, "older than 1.2"},
		{"public outbound listener", outbound, `"address":"127.0.0.1"`, `"address":"0.0.0.0"`, "takes calls from elsewhere"},
		{"second address", inbound, `"filterChains"`, `"additionalAddresses":[{"address":{"socketAddress":{"address":"0.0.0.0","portValue":81}}}],"filterChains"`, "one address"},
		{"another network namespace", inbound, `"portValue":80`, `"portValue":80,"networkNamespaceFilepath":"/proc/1/ns/net"`, "network namespaces are not taken"},
		{"the agent's status", application, `"type":"EDS","edsClusterConfig":{"edsConfig":` + adsSource + `}`, static("::ffff:127.0.0.1"), "the machine's own"},
		{"localhost", application, `"type":"EDS","edsClusterConfig":{"edsConfig":` + adsSource + `}`, static("LOCALHOST."), "the machine's own"},
		{"cloud credentials", application, `"type":"EDS","edsClusterConfig":{"edsConfig":` + adsSource + `}`, static("169.254.169.254"), "link-local"},
		{"pipe", outbound, `"address":{"socketAddress":{"address":"127.0.0.1","portValue":15001}}`, `"address":{"pipe":{"path":"/x"}}`, "only socket addresses"},
		{"filter by discovery", outbound, `"typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}`,
			`"configDiscovery":{"configSource":` + adsSource + `}`, "may not be discovered"},
		{"nothing asks OPA", inbound, extAuthz + ",", ``, "nothing asks it"},
		{"OPA fails open", inbound, `"grpcService"`, `"failureModeAllow":true,"grpcService"`, "goes on without an answer"},
		{"OPA may be off", inbound, `{"name":"authz",`, `{"name":"authz","disabled":true,`, "does not enforce"},
		{"another authorizer", inbound, `"clusterName":"agent"`, `"clusterName":"live"`, `asks cluster "live"`},
	} {
		if !strings.Contains(c.in, c.old) {
			t.Errorf("%s: the fixture has no %s", c.name, c.old)
			continue
		}
		err := verify.Resources(content(t, artifact.EngineOPA, strings.Replace(c.in, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}

func TestUnlistedTypes(t *testing.T) {
	t.Parallel()
	l := content(t, artifact.EngineRBAC)
	for _, typeURL := range []string{
		"type.googleapis.com/envoy.service.runtime.v3.Runtime",
		"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
		"type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
		"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", // an extension is no resource
	} {
		l.Resources = []artifact.Resource{artifact.NewResource(typeURL, "x", nil)}
		if err := verify.Resources(l); err == nil || !strings.Contains(err.Error(), "not") {
			t.Errorf("%s: got %v", typeURL, err)
		}
	}
}

func TestNameInside(t *testing.T) {
	t.Parallel()
	l := content(t, artifact.EngineRBAC, routes)
	l.Resources[0].Name = "other"
	if err := verify.Resources(l); err == nil || !strings.Contains(err.Error(), `calls itself "out"`) {
		t.Errorf("got %v", err)
	}
}

func TestTrustBundleIsCertificatesAlone(t *testing.T) {
	t.Parallel()
	l := content(t, artifact.EngineRBAC)
	for _, text := range []string{"x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		l.TrustBundle = []byte(text)
		if err := verify.Resources(l); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
