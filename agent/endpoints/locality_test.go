package endpoints_test

import (
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// TestPlaces: the rule is the release's, the places are what the controller says, and
// where the proxy itself is, who knows best: configuration and policy, else the
// controller, whose word also outlives a restart.
func TestPlaces(t *testing.T) {
	t.Parallel()
	said := &deliveryv1.EndpointsUpdate{Clusters: []*deliveryv1.ClusterEndpoints{{Cluster: "catalog", Endpoints: []*deliveryv1.Endpoint{
		{Address: "10.0.0.1", Port: 80, Locality: "eu/1"}, {Address: "10.0.0.2", Port: 80, Locality: "us/1"}, {Address: "10.0.0.3", Port: 80, Locality: "us/2"},
	}}}}
	book := func(rule *locality.Rule) *endpoints.Book {
		l, err := endpoints.NewLimits(artifact.Constraints{Clusters: []artifact.ClusterConstraint{
			{Name: "catalog", Ports: []uint32{80}, MTLS: true, SANs: []string{"spiffe://a/b"}, Locality: rule}}})
		if err != nil {
			t.Fatal(err)
		}
		b := endpoints.NewBook()
		b.SetLimits(l, nil)
		b.Update(said)
		return b
	}
	priorities := func(b *endpoints.Book) map[string]uint32 {
		t.Helper()
		out := map[string]uint32{}
		for _, l := range assignment(t, b).GetEndpoints() {
			out[l.GetLocality().GetRegion()+"/"+l.GetLocality().GetZone()] = l.GetPriority()
		}
		return out
	}
	near := book(&locality.Rule{})
	equal := map[string]uint32{"eu/1": 0, "us/1": 0, "us/2": 0}
	if diff := cmp.Diff(equal, priorities(near)); diff != "" {
		t.Errorf("before the place is known (-want +got):\n%s", diff)
	}
	near.Update(&deliveryv1.EndpointsUpdate{Locality: "us/1"})
	near.Update(&deliveryv1.EndpointsUpdate{Locality: "\x00/a/b/c/d"})
	us := map[string]uint32{"us/1": 0, "us/2": 1, "eu/1": 2}
	if diff := cmp.Diff(us, priorities(near)); diff != "" {
		t.Errorf("where the controller says (-want +got):\n%s", diff)
	}
	stored, err := near.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again := book(&locality.Rule{})
	if err := again.Restore(stored); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(us, priorities(again)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	near.SetPlace(locality.Place{"eu", "1"})
	if diff := cmp.Diff(map[string]uint32{"eu/1": 0, "us/1": 1, "us/2": 1}, priorities(near)); diff != "" {
		t.Errorf("where the agent is configured to be (-want +got):\n%s", diff)
	}
	none := book(nil)
	none.SetPlace(locality.Place{"eu", "1"})
	if diff := cmp.Diff(equal, priorities(none)); diff != "" {
		t.Errorf("without a rule (-want +got):\n%s", diff)
	}

	weighted := book(&locality.Rule{Distribute: []locality.Distribution{{From: "*", To: []locality.Share{{Place: "eu", Weight: 90}, {Place: "us/1", Weight: 10}}}}})
	shares := map[string]uint32{}
	for _, l := range assignment(t, weighted).GetEndpoints() {
		shares[l.GetLocality().GetRegion()+"/"+l.GetLocality().GetZone()] = l.GetLoadBalancingWeight().GetValue()
	}
	if len(shares) != 2 || shares["us/1"] == 0 || shares["eu/1"] != 9*shares["us/1"] {
		t.Errorf("shares %v", shares)
	}
}

func assignment(t *testing.T, b *endpoints.Book) *endpointv3.ClusterLoadAssignment {
	t.Helper()
	resources, err := b.Assignments([]string{"catalog"})
	if err != nil {
		t.Fatal(err)
	}
	out := &endpointv3.ClusterLoadAssignment{}
	if err := proto.Unmarshal(resources[0].Bytes, out); err != nil {
		t.Fatal(err)
	}
	return out
}
