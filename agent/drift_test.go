package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mesh-compile/mesh-compile/agent/envoy"
	"github.com/mesh-compile/mesh-compile/agent/xds"
)

func (p *proxy) admin() *envoy.Admin {
	return envoy.NewAdmin(filepath.Join(p.config.StateDir, "admin.sock"))
}

// drifts waits until the status and the newest report say so.
func (p *proxy) drifts(words string) {
	p.t.Helper()
	p.until(func() error {
		if said := strings.Join(p.status().Drift, "; "); !strings.Contains(said, words) {
			return fmt.Errorf("drift is %q, want %q in it", said, words)
		}
		if said := p.controller.report().GetDrift(); !strings.Contains(said, words) {
			return fmt.Errorf("the report says %q, want %q in it", said, words)
		}
		return nil
	})
}

// compared waits until Envoy was looked at from now on.
func (p *proxy) compared() {
	p.t.Helper()
	began := time.Now()
	p.until(func() error {
		s := p.status()
		if len(s.Drift) > 0 || s.Compared.Before(began) {
			return fmt.Errorf("compared at %s, after %s: drift %q", s.Compared, began, s.Drift)
		}
		return nil
	})
}

// TestNoDriftWhileReleasesChange looks at Envoy as often as it can while listeners,
// routes and clusters come and go. Envoy goes on to show a listener whose filter
// chains alone have changed by its first version.
func TestNoDriftWhileReleasesChange(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.config.CompareInterval = 5 * time.Millisecond
	p.endpoints("v1", "v2")
	for sequence := uint64(1); sequence <= 8; sequence++ {
		p.slice.cluster = []string{"v1", "v2"}[sequence%2]
		p.slice.revoked, p.slice.header = sequence%3 == 0, fmt.Sprint(sequence)
		p.controller.publish(sequence, p.slice)
		if sequence == 1 {
			p.run()
		}
		p.live(sequence)
		if sequence > 5 {
			p.compared()
		}
	}
	for _, r := range p.controller.all() {
		if r.GetDrift() != "" {
			t.Errorf("release %d: drift %q", r.GetSequence(), r.GetDrift())
		}
	}
	if r := p.controller.report(); r.GetRunningSequence() != 8 || r.GetAppliedAt() == nil || r.GetEnvoyVersion() == "" || r.GetAgentVersion() == "" {
		t.Errorf("the newest report is %v", r)
	}
}

// TestDriftOfStoppedListeners: Envoy's /listeners and /config_dump go on to show
// listeners that take no connection.
func TestDriftOfStoppedListeners(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.config.CompareInterval = 50 * time.Millisecond
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	if err := p.admin().Post(t.Context(), "/drain_listeners"); err != nil {
		t.Fatal(err)
	}
	p.drifts("stopped by the admin interface")
}

// TestDriftOfBootstrap: the command line opens what no release says.
func TestDriftOfBootstrap(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.config.CompareInterval = 50 * time.Millisecond
	p.config.Envoy.Args = []string{"--config-yaml", `layered_runtime: {layers: [{name: admin, admin_layer: {}}]}`}
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	p.drifts("the bootstrap is another: layered_runtime.layers")
}

// TestDriftOfAnotherServer: while the agent is away, somebody with its socket
// serves another route by the version of the signed one, and a cluster more. The
// agent says so and puts it right; what has another name goes by itself.
func TestDriftOfAnotherServer(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.config.CompareInterval = 50 * time.Millisecond
	p.controller.publish(1, p.slice)
	cmd := p.spawn()
	p.live(1)
	kill(t, cmd)
	p.usurp()
	p.wantRelease("usurper")
	p.spawn()
	p.live(1)
	p.drifts(`route configuration "outbound" has the right version and another content: virtual_hosts[0].request_headers_to_add[0].header.value`)
	p.until(func() error {
		if said := strings.Join(p.status().Drift, "; "); strings.Contains(said, "stranger") {
			return errors.New(said)
		}
		return nil
	})
	p.until(func() error {
		if r := p.controller.report(); r.GetDrift() != "" {
			return fmt.Errorf("drift is still %q", r.GetDrift())
		}
		return nil
	})
	p.wantRelease("1")
}

// usurp serves on the agent's socket until Envoy has what it is not to have.
func (p *proxy) usurp() {
	socket := filepath.Join(p.config.StateDir, "agent.sock")
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		p.t.Fatal(err)
	}
	server := grpc.NewServer()
	defer server.Stop()
	other := xds.NewServer(xds.Options{Warming: p.admin().Warming})
	other.Register(server)
	go server.Serve(l)

	snapshot := xds.Snapshot{Name: "usurper", Clusters: p.running("cluster"), Listeners: p.running("listener"), Routes: p.running("route")}
	stranger := &clusterv3.Cluster{Name: "stranger", ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}}
	snapshot.Clusters = append(snapshot.Clusters, xds.Resource{Name: "stranger", Version: "1", Bytes: marshal(p.t, stranger)})
	spoilt, signed := p.slice, snapshot.Routes[0].Version
	// What has the signed version is not sent to an Envoy that has it: another first.
	for _, version := range []string{"another", signed} {
		spoilt.header = map[bool]string{true: "usurper"}[version == signed]
		snapshot.Routes[0].Version = version
		snapshot.Routes[0].Bytes = marshal(p.t, spoilt.routes("outbound", p.slice.name()))
		other.Install(snapshot)
		if err := other.Settle(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	}
}

// running returns names and versions of what Envoy has.
func (p *proxy) running(kind string) (out []xds.Resource) {
	field := map[string]string{"cluster": "dynamic_active_clusters", "listener": "dynamic_listeners", "route": "dynamic_route_configs"}[kind]
	page, err := p.admin().Get(p.t.Context(), "/config_dump?resource="+field)
	if err != nil {
		p.t.Fatal(err)
	}
	type state struct {
		Version string `json:"version_info"`
	}
	var answer struct {
		Configs []struct {
			state
			Name    string
			Active  state                 `json:"active_state"`
			Cluster struct{ Name string } `json:"cluster"`
			Route   struct{ Name string } `json:"route_config"`
		}
	}
	if err := json.Unmarshal(page, &answer); err != nil {
		p.t.Fatal(err)
	}
	for _, c := range answer.Configs {
		out = append(out, xds.Resource{Name: c.Name + c.Cluster.Name + c.Route.Name, Version: c.Version + c.Active.Version})
	}
	return out
}
