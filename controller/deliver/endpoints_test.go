package deliver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

func digestBytes(s string) []byte {
	d := artifact.DigestOf([]byte(s))
	return d[:]
}

func maxBlobMessage() grpc.CallOption { return grpc.MaxCallRecvMsgSize(65 << 20) }

func at(addresses ...string) []endpoints.Endpoint {
	var out []endpoints.Endpoint
	for _, a := range addresses {
		out = append(out, endpoints.Endpoint{Address: netip.MustParseAddr(a), Port: 8080})
	}
	return out
}

// flat renders an update: "cluster address address".
func flat(u *deliveryv1.EndpointsUpdate) []string {
	var out []string
	for _, c := range u.GetClusters() {
		line := c.GetCluster()
		for _, e := range c.GetEndpoints() {
			line += " " + e.GetAddress()
		}
		out = append(out, line)
	}
	return out
}

func TestEndpointsFollowTheConstraints(t *testing.T) {
	h := start(t)
	const own, other = "outbound|8080||inventory.shop", "outbound|8080||bank.shop"
	h.publish(t, shop(t, 1))
	h.table.Set(own, at("10.0.0.2", "10.0.0.1"))
	h.table.Set(other, at("10.9.9.9"))
	stream, err := h.client(t, "catalog", time.Minute).WatchEndpoints(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(clusters ...string) {
		t.Helper()
		if err := stream.Send(&deliveryv1.EndpointsRequest{Workload: "shop/catalog-v1", Clusters: clusters}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(lines ...string) {
		t.Helper()
		u, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines, flat(u)); diff != "" {
			t.Errorf("update (-want +got):\n%s", diff)
		}
	}
	ask(own, other, "outbound|8080||shipping.shop")
	want(own + " 10.0.0.1 10.0.0.2")
	h.table.Set(other, at("10.9.9.8"))
	h.table.Set(own, nil)
	want(own)
	// A later release lets it have another cluster, which it has asked for already.
	h.publish(t, release(t, 2, workload{"catalog", "catalog-v1", other, "x"}))
	want(other + " 10.9.9.8")
	ask(own)
	h.table.Set(other, at("10.9.9.7"))
	h.table.Set(own, at("10.0.0.3"))
	// own is of the release before, which a proxy may still run.
	for {
		u, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(flat(u), own+" 10.0.0.3") {
			break
		}
	}
}

func TestEndpointsRefuse(t *testing.T) {
	h := start(t)
	h.publish(t, shop(t, 1))
	for name, tc := range map[string]struct {
		account  string
		workload string
		clusters []string
		want     codes.Code
	}{
		"nobody":             {"", "shop/payment", nil, codes.Unauthenticated},
		"another's workload": {"catalog", "shop/payment", nil, codes.PermissionDenied},
		"long name":          {"catalog", "shop/catalog-v1", []string{strings.Repeat("x", maxName+1)}, codes.InvalidArgument},
		"too many":           {"catalog", "shop/catalog-v1", make([]string, maxClusters+1), codes.InvalidArgument},
	} {
		stream, err := h.client(t, tc.account, time.Minute).WatchEndpoints(withDeadline(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&deliveryv1.EndpointsRequest{Workload: tc.workload, Clusters: tc.clusters}) // Recv has the reason
		if _, err := stream.Recv(); status.Code(err) != tc.want {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

// More than fits into a message comes in several.
func TestEndpointsAreSplit(t *testing.T) {
	h := start(t)
	var all []artifact.ClusterConstraint
	var names []string
	for i := range 1500 {
		names = append(names, fmt.Sprintf("outbound|8080||service-%04d.shop", i))
		all = append(all, artifact.ClusterConstraint{Name: names[i], Ports: []uint32{8080}})
		var many []string
		for j := range 200 {
			many = append(many, fmt.Sprintf("fd00::%x:%x", i, j))
		}
		h.table.Set(names[i], at(many...))
	}
	b := artifact.NewBuilder(nil)
	constraints, err := artifact.Constraints{Clusters: all}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := artifact.AgentPolicy{Engine: artifact.EngineRBAC, Capture: artifact.CaptureNone}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b.AddLeaf(artifact.Leaf{SPIFFEID: id("payment"), Workload: "shop/payment", Kind: artifact.Live, Sensitivity: artifact.Normal,
		Slice: b.AddSlice(), Constraints: b.AddBlob(constraints), AgentPolicy: b.AddBlob(policy)})
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	h.publish(t, r.WithEnvelope([]byte("envelope")))
	stream, err := h.client(t, "payment", time.Minute).WatchEndpoints(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&deliveryv1.EndpointsRequest{Workload: "shop/payment", Clusters: names}); err != nil {
		t.Fatal(err)
	}
	messages, got := 0, 0
	for got < len(names) {
		u, err := stream.Recv() // at most gRPC's default of 4 MiB
		if err != nil {
			t.Fatal(err)
		}
		messages++
		got += len(u.GetClusters())
	}
	if messages < 3 {
		t.Errorf("%d messages", messages)
	}
}

func TestReports(t *testing.T) {
	h := start(t)
	catalog := h.client(t, "catalog", time.Minute)
	report := func(c deliveryv1.DeliveryClient, r *deliveryv1.ReportRequest) error {
		_, err := c.Report(withDeadline(t), r)
		return err
	}
	good := &deliveryv1.ReportRequest{Workload: "shop/catalog-v1", Instance: "a", Sequence: 3, State: deliveryv1.ReportRequest_STATE_APPLIED}
	if err := report(catalog, good); status.Code(err) != codes.Unavailable {
		t.Errorf("before a release: %v", err)
	}
	h.publish(t, shop(t, 1))
	for _, r := range []*deliveryv1.ReportRequest{
		good,
		{Workload: "shop/catalog-v1", Instance: "a", Sequence: 4, State: deliveryv1.ReportRequest_STATE_REJECTED, Error: strings.Repeat("é", maxErrorText)},
		{Workload: "shop/catalog-v2", Instance: "b", State: deliveryv1.ReportRequest_STATE_APPLIED},
	} {
		if err := report(catalog, r); err != nil {
			t.Fatal(err)
		}
	}
	fleet := h.Fleet()
	if len(fleet) != 2 || fleet[0].Sequence != 4 || fleet[0].State != "rejected" || len(fleet[0].Error) > maxErrorText {
		t.Errorf("fleet %+v", fleet)
	}
	for name, tc := range map[string]struct {
		r    *deliveryv1.ReportRequest
		want codes.Code
	}{
		"another's":    {&deliveryv1.ReportRequest{Workload: "shop/payment", State: 1}, codes.PermissionDenied},
		"no state":     {&deliveryv1.ReportRequest{Workload: "shop/catalog-v1"}, codes.InvalidArgument},
		"short digest": {&deliveryv1.ReportRequest{Workload: "shop/catalog-v1", State: 1, TrustBundle: []byte{1}}, codes.InvalidArgument},
	} {
		if err := report(catalog, tc.r); status.Code(err) != tc.want {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	for i := range maxInstances + 10 {
		h.fleet.put(keyOf("catalog", "catalog-v2"), ProxyState{Workload: "shop/catalog-v2", Instance: fmt.Sprint(i), Reported: time.Unix(int64(i), 0)})
	}
	if n := len(h.Fleet()); n != maxInstances+1 {
		t.Errorf("%d proxies are remembered", n)
	}
	h.publish(t, release(t, 2, workload{"payment", "payment", "c", "x"}))
	h.publish(t, release(t, 3, workload{"payment", "payment", "c", "x"}))
	if n := len(h.Fleet()); n != 0 {
		t.Errorf("%d proxies of workloads that are gone", n)
	}
}

// TestZone: agents of two zones are told of the endpoints that are for theirs.
func TestZone(t *testing.T) {
	zone := "a"
	h := startWith(t, func(o *Options) { o.Locality = func(netip.Addr) string { return "eu/" + zone } })
	const cluster = "outbound|8080||bank.shop"
	h.publish(t, shop(t, 1))
	list := at("10.0.0.1", "10.0.0.2")
	list[0].Near, list[1].Near = "a", "b"
	h.table.Set(cluster, list)
	for _, test := range []struct{ zone, want string }{{"a", "10.0.0.1"}, {"b", "10.0.0.2"}, {"a", "10.0.0.1"}} {
		zone = test.zone
		stream, err := h.client(t, "payment", time.Minute).WatchEndpoints(withDeadline(t))
		if err == nil {
			err = stream.Send(&deliveryv1.EndpointsRequest{Workload: "shop/payment", Clusters: []string{cluster}})
		}
		if err != nil {
			t.Fatal(err)
		}
		u, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if u.GetLocality() != "eu/"+test.zone {
			t.Errorf("an agent in zone %s is told that it is in %q", test.zone, u.GetLocality())
		}
		if diff := cmp.Diff([]string{cluster + " " + test.want}, flat(u)); diff != "" {
			t.Errorf("zone %s (-want +got):\n%s", test.zone, diff)
		}
	}
}
