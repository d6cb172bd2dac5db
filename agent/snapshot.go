package agent

import (
	"fmt"
	"net/netip"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// snapshot returns a release's resources as Envoy is served them.
func (a *Agent) snapshot(r *verify.Release) (xds.Snapshot, error) {
	out := xds.Snapshot{Name: fmt.Sprintf("%d/%s", r.Release.Sequence, r.Leaf.Slice.Hex()[:12])}
	for _, resource := range r.Resources {
		to := xds.Resource{Name: resource.Name, Version: resource.Digest.Hex(), Bytes: resource.Bytes}
		switch resource.Type {
		case xds.ClusterType:
			out.Clusters = append(out.Clusters, to)
		case xds.RouteType:
			out.Routes = append(out.Routes, to)
		case xds.ListenerType:
			bound, err := bind(to, a.config.Bind)
			if err != nil {
				return xds.Snapshot{}, err
			}
			out.Listeners = append(out.Listeners, bound)
		}
	}
	return out, nil
}

// bind replaces the address of a listener's socket, if the configuration says
// so, and nothing else: the port and all that is behind it stay as signed.
func bind(r xds.Resource, addresses map[string]netip.Addr) (xds.Resource, error) {
	ip, ok := addresses[r.Name]
	if !ok {
		ip, ok = addresses[""]
	}
	if !ok {
		return r, nil
	}
	l := &listenerv3.Listener{}
	if err := proto.Unmarshal(r.Bytes, l); err != nil {
		return r, fmt.Errorf("binding listener %s: %w", r.Name, err)
	}
	socket := l.GetAddress().GetSocketAddress()
	if socket == nil {
		return r, fmt.Errorf("binding listener %s: it has no socket address", r.Name)
	}
	socket.Address = ip.String()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(l)
	if err != nil {
		return r, fmt.Errorf("binding listener %s: %w", r.Name, err)
	}
	return xds.Resource{Name: r.Name, Version: artifact.DigestOf(data).Hex(), Bytes: data}, nil
}
