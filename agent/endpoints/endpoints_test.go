package endpoints_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

func limits(t testing.TB, cidrs ...string) endpoints.Limits {
	t.Helper()
	l, err := endpoints.NewLimits(artifact.Constraints{EndpointCIDRs: cidrs, Clusters: []artifact.ClusterConstraint{
		{Name: "catalog", Ports: []uint32{80}, MTLS: true, SANs: []string{"spiffe://a/b"}},
		{Name: "plain", Ports: []uint32{80}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address string
		port    uint32
		cidrs   []string
		reason  endpoints.Reason // empty: kept
	}{
		{"10.1.2.3", 80, nil, ""},
		{"10.1.2.3", 80, []string{"10.0.0.0/8"}, ""},
		{"::ffff:10.1.2.3", 80, []string{"10.0.0.0/8"}, ""},
		{"fd00::1", 80, []string{"fd00::/8"}, ""},
		{"11.1.2.3", 80, []string{"10.0.0.0/8"}, endpoints.Outside},
		{"::ffff:11.1.2.3", 80, []string{"10.0.0.0/8"}, endpoints.Outside},
		{"10.1.2.3", 81, nil, endpoints.WrongPort},
		{"10.1.2.3", 0, nil, endpoints.WrongPort},
		{"10.1.2.3", 80 + 1<<16, nil, endpoints.WrongPort},
		{"127.0.0.1", 80, nil, endpoints.Forbidden},
		{"127.0.0.1", 80, []string{"0.0.0.0/0"}, endpoints.Forbidden},
		{"127.1.0.1", 80, []string{"127.1.0.0/16"}, ""},
		{"127.2.0.1", 80, []string{"127.1.0.0/16"}, endpoints.Forbidden},
		{"::1", 80, []string{"::/0"}, endpoints.Forbidden},
		{"169.254.169.254", 80, []string{"169.254.0.0/16"}, endpoints.Forbidden},
		{"fe80::1", 80, []string{"fe80::/10"}, endpoints.Forbidden},
		{"0.0.0.0", 80, nil, endpoints.Forbidden},
		{"::", 80, nil, endpoints.Forbidden},
		{"224.0.0.1", 80, nil, endpoints.Forbidden},
		{"255.255.255.255", 80, nil, endpoints.Forbidden},
		{"fe80::1%eth0", 80, nil, endpoints.NotAddress},
		{"catalog.shop", 80, nil, endpoints.NotAddress},
		{"/var/run/docker.sock", 80, nil, endpoints.NotAddress},
		{"", 80, nil, endpoints.NotAddress},
	} {
		var dropped []endpoints.Reason
		said := &deliveryv1.ClusterEndpoints{Cluster: "catalog", Endpoints: []*deliveryv1.Endpoint{{Address: c.address, Port: c.port}}}
		kept := limits(t, c.cidrs...).Filter(said, func(r endpoints.Reason) { dropped = append(dropped, r) })
		want := []endpoints.Reason{c.reason}
		if c.reason == "" {
			want = nil
		}
		if !slices.Equal(dropped, want) || (len(kept) == 1) != (c.reason == "") {
			t.Errorf("%s:%d in %v: dropped for %q, want %q", c.address, c.port, c.cidrs, dropped, want)
		}
	}
}

func TestClustersThatTakeNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "inbound|80", ""} {
		said := &deliveryv1.ClusterEndpoints{Cluster: name, Endpoints: []*deliveryv1.Endpoint{{Address: "10.0.0.1", Port: 80}}}
		if kept := limits(t).Filter(said, func(endpoints.Reason) {}); len(kept) > 0 {
			t.Errorf("cluster %q takes %v", name, kept)
		}
	}
}

func TestAssignmentSaysOnlyWhatIsKept(t *testing.T) {
	t.Parallel()
	said := &deliveryv1.ClusterEndpoints{Cluster: "catalog", Endpoints: []*deliveryv1.Endpoint{
		{Address: "10.0.0.2", Port: 80, Locality: "r/z", Weight: 1 << 31, Draining: true},
		{Address: "10.0.0.1", Port: 80},
		{Address: "10.0.0.2", Port: 80},
	}}
	var dropped []endpoints.Reason
	kept := limits(t).Filter(said, func(r endpoints.Reason) { dropped = append(dropped, r) })
	r, err := endpoints.Assignment("catalog", nil, locality.Place{}, kept)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(kept)
	if again, err := endpoints.Assignment("catalog", nil, locality.Place{}, kept); err != nil || again.Version != r.Version {
		t.Errorf("another order gives another version, error %v", err)
	}
	got := &endpointv3.ClusterLoadAssignment{}
	if err := proto.Unmarshal(r.Bytes, got); err != nil {
		t.Fatal(err)
	}
	want := &endpointv3.ClusterLoadAssignment{}
	text := `cluster_name: "catalog"
		endpoints { lb_endpoints { load_balancing_weight { value: 1 }
			endpoint { address { socket_address { address: "10.0.0.1" port_value: 80 } } } } }
		endpoints { locality { region: "r" zone: "z" } lb_endpoints { load_balancing_weight { value: 128 } health_status: DRAINING
			endpoint { address { socket_address { address: "10.0.0.2" port_value: 80 } } } } }`
	if err := prototext.Unmarshal([]byte(text), want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(want, got) {
		t.Errorf("got %v", got)
	}
	if want := []endpoints.Reason{endpoints.Clamped, endpoints.Duplicate}; !slices.Equal(dropped, want) {
		t.Errorf("dropped for %q, want %q", dropped, want)
	}
}

func TestBookSurvivesAndFollowsLimits(t *testing.T) {
	t.Parallel()
	b := endpoints.NewBook()
	b.SetLimits(limits(t), map[string]netip.AddrPort{"inbound|80": netip.MustParseAddrPort("127.0.0.1:80")})
	if b.Unknown() != 1 {
		t.Errorf("%d unknown, want 1", b.Unknown())
	}
	b.Update(&deliveryv1.EndpointsUpdate{Clusters: []*deliveryv1.ClusterEndpoints{
		{Cluster: "catalog", Endpoints: []*deliveryv1.Endpoint{{Address: "10.0.0.1", Port: 80}}},
		{Cluster: "unasked"},
	}})
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again := endpoints.NewBook()
	again.SetLimits(limits(t, "11.0.0.0/8"), nil) // a later release allows less
	if err := again.Restore(data); err != nil {
		t.Fatal(err)
	}
	all, err := again.Assignments(again.Known())
	if err != nil || len(all) != 1 || strings.Contains(string(all[0].Bytes), "10.0.0.1") {
		t.Errorf("got %q, error %v", all, err)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("10.0.0.1", uint32(80), "r/z/s", uint32(1))
	f.Add("169.254.169.254", uint32(80), "////", uint32(1<<31))
	l := limits(f, "10.0.0.0/8", "127.1.0.0/16")
	f.Fuzz(func(t *testing.T, address string, port uint32, locality string, weight uint32) {
		said := &deliveryv1.ClusterEndpoints{Cluster: "catalog", Endpoints: []*deliveryv1.Endpoint{
			{Address: address, Port: port, Locality: locality, Weight: weight},
		}}
		for _, e := range l.Filter(said, func(endpoints.Reason) {}) {
			ip := e.Address.Addr()
			inside := netip.MustParsePrefix("10.0.0.0/8").Contains(ip) || netip.MustParsePrefix("127.1.0.0/16").Contains(ip)
			if !inside || e.Address.Port() != 80 || e.Weight == 0 || e.Weight > 128 {
				t.Errorf("%q:%d is kept as %v", address, port, e)
			}
		}
	})
}

// TestBookKeepsNoMoreThanItServes: a controller fills the agent's memory, and its
// disk, with what no proxy is ever given.
func TestBookKeepsNoMoreThanItServes(t *testing.T) {
	t.Parallel()
	book := endpoints.NewBook()
	book.SetLimits(limits(t), nil)
	big := strings.Repeat("x", 1<<20)
	unknown := &deliveryv1.Endpoint{Address: "10.0.0.1", Port: 80, Locality: big}
	unknown.ProtoReflect().SetUnknown(append([]byte{0xfa, 0x7f, 0x80, 0x80, 0x40}, big...)) // field 2047, 1 MiB
	book.Update(&deliveryv1.EndpointsUpdate{Clusters: []*deliveryv1.ClusterEndpoints{
		{Cluster: "catalog", Endpoints: []*deliveryv1.Endpoint{{Address: big, Port: 80}, unknown}},
	}})
	data, err := book.Encode()
	if err != nil || len(data) > 1<<10 {
		t.Errorf("%d bytes are kept of two endpoints (%v)", len(data), err)
	}
	if got := book.Dropped(); got[endpoints.NotAddress] != 1 || got[endpoints.NoLocality] != 1 {
		t.Errorf("dropped %v", got)
	}
}
