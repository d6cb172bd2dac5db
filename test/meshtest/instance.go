package meshtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// instance is one proxy of a workload and the application behind it, on a
// loopback address of their own: inbound ports are those of production, which
// access rules look at.
type instance struct {
	workload *check.Workload
	place    locality.Place
	ip       string
	outbound string // where the application's requests leave
	echo     *envoytest.Echo
	envoy    *envoytest.Envoy
	agent    *agent // nil where the proxy asks none
}

func newInstance(w *check.Workload) (*instance, error) {
	i := &instance{workload: w, ip: envoytest.Loopback()}
	port, err := envoytest.FreePort(i.ip)
	if err != nil {
		return nil, err
	}
	i.outbound = net.JoinHostPort(i.ip, strconv.Itoa(port))
	i.echo, err = envoytest.NewEcho(w.Key(), w.Version, net.JoinHostPort(i.ip, "0"))
	return i, err
}

func (i *instance) close() {
	if i.envoy != nil {
		i.envoy.Stop()
	}
	if i.agent != nil {
		i.agent.close()
	}
	i.echo.Close()
}

// inboundAddress is where peers reach the instance for a port of a service.
func (i *instance) inboundAddress(p *check.Port) (string, bool) {
	for _, in := range i.workload.Inbound {
		for _, leads := range in.Services {
			if leads.Number == p.Number && leads.Service.Key() == p.Service.Key() {
				return net.JoinHostPort(i.ip, strconv.Itoa(int(in.Port))), true
			}
		}
	}
	return "", false
}

// flushArgs has Envoy write its access log at once: the default is every ten
// seconds.
var flushArgs = []string{"--file-flush-interval-msec", "5"}

func (m *Mesh) startEnvoy(ctx context.Context, i *instance) error {
	if i.workload.Engine == mesh.EngineOPA {
		var err error
		if i.agent, err = startAgent(ctx, m.mesh, i.workload); err != nil {
			return err
		}
	}
	bootstrap, err := m.bootstrap(i)
	if err != nil {
		return err
	}
	// Not ctx: a proxy lives until Close, which ends it politely.
	i.envoy, err = envoytest.Start(context.WithoutCancel(ctx), envoytest.Options{Bootstrap: bootstrap, Args: flushArgs})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return i.envoy.WaitReady(ctx)
}

// bootstrap is the workload's slice with everything in it that an agent would
// have answered.
func (m *Mesh) bootstrap(i *instance) ([]byte, error) {
	slice, err := m.slices(i.workload)
	if err != nil {
		return nil, err
	}
	certificate, key, err := m.ca.issue(i.workload.Identity)
	if err != nil {
		return nil, err
	}
	options := xds.StaticOptions{
		Certificate: certificate, Key: key, Roots: m.ca.roots(), Node: i.workload.Key(),
		Bind:      map[string]string{outboundListener: i.outbound},
		Endpoints: map[string][]string{},
	}
	if i.agent != nil {
		options.AgentPath = i.agent.path
	}
	for _, in := range i.workload.Inbound {
		name := xds.InboundClusterName(in.Port) // the listener has the same
		options.Bind[name] = net.JoinHostPort(i.ip, strconv.Itoa(int(in.Port)))
		options.Endpoints[name] = []string{i.echo.Address()}
	}
	for _, p := range i.workload.Gateway {
		options.Bind[xds.GatewayListener(p.Port)] = net.JoinHostPort(i.ip, strconv.Itoa(int(p.Port)))
	}
	if options.Files, err = m.filesOf(i.workload); err != nil {
		return nil, err
	}
	for name, b := range m.backends {
		options.Endpoints[name] = m.endpoints(name, b)
	}
	out, err := xds.StaticBootstrap(slice, options)
	if err != nil {
		return nil, err
	}
	for _, c := range out.StaticResources.Clusters {
		m.bringHome(c)
		if err := m.arrange(i, c); err != nil {
			return nil, err
		}
	}
	return xds.JSON(out)
}

// outboundListener is the explicit proxy of capture none.
const outboundListener = "outbound"

// endpoints are the instances behind a backend, or what stands for them outside.
func (m *Mesh) endpoints(cluster string, b *check.Backend) []string {
	if o, ok := m.outside[cluster]; ok {
		return []string{o.address}
	}
	var out []string
	for _, w := range b.Workloads {
		for _, i := range m.instances[w.Key()] {
			if address, ok := i.inboundAddress(b.Port); ok {
				out = append(out, address)
			}
		}
	}
	return out
}

// outside stands for a destination that no proxy of ours is in front of.
type outside struct {
	address string
	echo    *envoytest.Echo // nil for a real program
}

// startOutside makes an Echo for every backend without a workload, so that no
// test speaks to the world.
func (m *Mesh) startOutside() error {
	for name, b := range m.backends {
		if len(b.Workloads) > 0 {
			continue
		}
		if address, ok := m.outsiders[b.Port.Service.Key()]; ok {
			m.outside[name] = &outside{address: address}
			continue
		}
		echo, err := envoytest.NewEcho(b.Port.Service.Key(), b.Version, envoytest.Loopback()+":0")
		if err != nil {
			return fmt.Errorf("starting %s: %w", b.Port.Service.Key(), err)
		}
		m.outside[name] = &outside{echo.Address(), echo}
	}
	return nil
}

// bringHome gives a cluster whose endpoints the slice says, signed addresses and
// names, those of this mesh. An Echo outside has no certificate to be verified.
func (m *Mesh) bringHome(c *clusterv3.Cluster) {
	b, ok := m.backends[c.Name]
	if !ok || xds.Discovered(b) {
		return
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	if c.LbPolicy == clusterv3.Cluster_CLUSTER_PROVIDED {
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	}
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, address := range m.endpoints(c.Name, b) {
		locality.LbEndpoints = append(locality.LbEndpoints, lbEndpoint(address))
	}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{locality}}
	if o, ok := m.outside[c.Name]; ok && o.echo != nil {
		c.TransportSocket = nil
	}
}

// arrange gives a cluster whose rule asks for places what an agent at the caller's
// would serve.
func (m *Mesh) arrange(caller *instance, c *clusterv3.Cluster) error {
	b, ok := m.backends[c.Name]
	if !ok || b.LocalityRule() == nil || !xds.Discovered(b) {
		return nil
	}
	var list []endpoints.Endpoint
	for _, w := range b.Workloads {
		for _, i := range m.instances[w.Key()] {
			if address, ok := i.inboundAddress(b.Port); ok {
				list = append(list, endpoints.Endpoint{Address: netip.MustParseAddrPort(address), Locality: i.place, Weight: 1})
			}
		}
	}
	r, err := endpoints.Assignment(c.Name, b.LocalityRule(), caller.place, list)
	if err != nil {
		return err
	}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{}
	return proto.Unmarshal(r.Bytes, c.LoadAssignment)
}

func lbEndpoint(address string) *endpointv3.LbEndpoint {
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.ParseUint(port, 10, 16)
	return &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(number)},
		}}},
	}}}
}
