package xds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// StaticOptions are what a slice takes from the agent, for a static bootstrap.
type StaticOptions struct {
	// Certificate and Key stand for the workload's secret, Roots for the trust
	// bundle: PEM.
	Certificate, Key, Roots []byte
	// Endpoints by cluster, "ip:port". A cluster without any has no endpoint.
	Endpoints map[string][]string
	// AdminPath is the Unix socket of Envoy's admin interface; "" is none.
	AdminPath string
	// Bind replaces where a listener of this name binds, "ip:port".
	Bind map[string]string
	// Files are what gateways take from mounted directories, by the directory's name.
	// For those that it does not have, the workload's own stand in.
	Files map[string]Files
	// AgentPath is the Unix socket that answers ext_authz.
	AgentPath string
	Node      string
}

// Files are the PEM files of one directory; what it does not have is nil.
type Files struct{ Certificate, Key, CA []byte }

// StaticBootstrap makes one self-contained Envoy configuration of a slice: what
// Envoy would ask the agent for stands inline. It is for people, for `envoy
// --mode validate` and for tests; it carries whatever key it is given.
func StaticBootstrap(s Slice, o StaticOptions) (*bootstrapv3.Bootstrap, error) {
	b := staticBuilder{StaticOptions: o, routes: map[string]*routev3.RouteConfiguration{}}
	out := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: o.Node, Cluster: o.Node},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
		LayeredRuntime:  StaticRuntime(),
	}
	if o.AdminPath != "" {
		out.Admin = &bootstrapv3.Admin{Address: pipe(o.AdminPath)}
	}
	if err := b.fill(s.Resources(), out.StaticResources); err != nil {
		return nil, fmt.Errorf("making a static bootstrap: %w", err)
	}
	return out, nil
}

// StaticRuntime is the only runtime layer: with RE2's limit at what package
// check allows, and Envoy's default of 100 out of the way.
func StaticRuntime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "static",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			"re2.max_program_size.error_level": structpb.NewNumberValue(MaxRegexProgram),
			DescriptorFormat:                   structpb.NewBoolValue(true),
		}}},
	}}}
}

// DescriptorFormat is the runtime flag by which a rate limit's descriptor holds what its
// format says of the request. Without it all callers would share one count.
const DescriptorFormat = "envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value"

// MaxRegexProgram is the RE2 program size that every proxy's bootstrap allows.
const MaxRegexProgram = 32768

// JSON writes an Envoy message for people, the same way each time.
func JSON(m proto.Message) ([]byte, error) {
	loose, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Indent(&out, loose, "", "  "); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}

type staticBuilder struct {
	StaticOptions
	routes map[string]*routev3.RouteConfiguration
}

func (b *staticBuilder) fill(resources []Resource, out *bootstrapv3.Bootstrap_StaticResources) error {
	for _, r := range resources { // listeners need them
		if r.Type == RouteType {
			config := &routev3.RouteConfiguration{}
			if err := proto.Unmarshal(r.Bytes, config); err != nil {
				return err
			}
			b.routes[r.Name] = config
		}
	}
	for _, r := range resources {
		switch r.Type {
		case ClusterType:
			c := &clusterv3.Cluster{}
			if err := b.read(r, c); err != nil {
				return err
			}
			if err := b.inlineEndpoints(c); err != nil {
				return err
			}
			out.Clusters = append(out.Clusters, c)
		case ListenerType:
			l := &listenerv3.Listener{}
			if err := b.read(r, l); err != nil {
				return err
			}
			if err := b.bind(l); err != nil {
				return err
			}
			out.Listeners = append(out.Listeners, l)
		}
	}
	if b.AgentPath != "" {
		out.Clusters = append(out.Clusters, agentCluster(b.AgentPath))
	}
	return nil
}

// read decodes a resource and inlines what it refers to, also within Any.
func (b *staticBuilder) read(r Resource, m proto.Message) error {
	if err := proto.Unmarshal(r.Bytes, m); err != nil {
		return err
	}
	if err := b.inline(m.ProtoReflect()); err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	return nil
}

func (b *staticBuilder) inlineEndpoints(c *clusterv3.Cluster) error {
	if c.GetType() != clusterv3.Cluster_EDS {
		return nil
	}
	c.EdsClusterConfig = nil
	setType(c, clusterv3.Cluster_STATIC)
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, e := range b.Endpoints[c.Name] {
		ip, port, err := splitAddress(e)
		if err != nil {
			return fmt.Errorf("endpoint %q of cluster %s: %w", e, c.Name, err)
		}
		locality.LbEndpoints = append(locality.LbEndpoints, lbEndpoint(ip, port, 0))
	}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{locality}}
	return nil
}

func splitAddress(address string) (string, uint32, error) {
	ip, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return ip, uint32(port), err
}

func (b *staticBuilder) bind(l *listenerv3.Listener) error {
	where, ok := b.Bind[l.Name]
	if !ok {
		return nil
	}
	ip, port, err := splitAddress(where)
	if err != nil {
		return fmt.Errorf("binding listener %s to %q: %w", l.Name, where, err)
	}
	l.Address = socketAddress(ip, port)
	return nil
}

func agentCluster(path string) *clusterv3.Cluster {
	var p packer
	c := &clusterv3.Cluster{
		Name: AgentCluster,
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: AgentCluster,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: pipe(path)}}}}}}},
		TypedExtensionProtocolOptions: p.protocolOptions(upstreamHTTP("grpc", "", nil)),
	}
	setType(c, clusterv3.Cluster_STATIC)
	return c
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}

// inlineMessage replaces references of the messages that have them.
func (b *staticBuilder) inlineMessage(m proto.Message) error {
	switch m := m.(type) {
	case *hcmv3.HttpConnectionManager:
		rds := m.GetRds()
		if rds == nil {
			return nil
		}
		config, ok := b.routes[rds.RouteConfigName]
		if !ok {
			return fmt.Errorf("route configuration %q is not in the slice", rds.RouteConfigName)
		}
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: config}
	case *tlsv3.CommonTlsContext:
		b.inlineSecrets(m)
	}
	return nil
}

func (b *staticBuilder) inlineSecrets(c *tlsv3.CommonTlsContext) {
	if b.inlineFiles(c) {
		return
	}
	if len(c.TlsCertificateSdsSecretConfigs) > 0 {
		c.TlsCertificateSdsSecretConfigs = nil
		c.TlsCertificates = []*tlsv3.TlsCertificate{{
			CertificateChain: dataSource(string(b.Certificate), false),
			PrivateKey:       dataSource(string(b.Key), false),
		}}
	}
	combined := c.GetCombinedValidationContext()
	if combined == nil {
		return
	}
	validation := combined.DefaultValidationContext
	validation.TrustedCa = dataSource(string(b.Roots), false)
	c.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
}

func (b *staticBuilder) files(name string) Files {
	if f, ok := b.Files[name]; ok {
		return f
	}
	return Files{Certificate: b.Certificate, Key: b.Key, CA: b.Roots}
}

// inlineFiles is for a gateway's TLS, whose certificates are files; false is the mesh's.
func (b *staticBuilder) inlineFiles(c *tlsv3.CommonTlsContext) bool {
	found := false
	for _, s := range c.TlsCertificateSdsSecretConfigs {
		name, ok := strings.CutPrefix(s.Name, FileCertificate)
		if !ok {
			return false
		}
		found = true
		c.TlsCertificates = append(c.TlsCertificates, &tlsv3.TlsCertificate{
			CertificateChain: dataSource(string(b.files(name).Certificate), false),
			PrivateKey:       dataSource(string(b.files(name).Key), false),
		})
	}
	if !found {
		return false
	}
	c.TlsCertificateSdsSecretConfigs = nil
	if combined := c.GetCombinedValidationContext(); combined != nil {
		name := strings.TrimPrefix(combined.ValidationContextSdsSecretConfig.Name, FileCA)
		validation := combined.DefaultValidationContext
		validation.TrustedCa = dataSource(string(b.files(name).CA), false)
		c.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
	}
	return true
}

// inlineAny opens an Any, inlines within, and closes it again.
func (b *staticBuilder) inlineAny(a *anypb.Any) error {
	m, err := a.UnmarshalNew()
	if err != nil {
		return err
	}
	if err := b.inline(m.ProtoReflect()); err != nil {
		return err
	}
	a.Value, err = deterministic.Marshal(m)
	return err
}
