package kubernetes

import (
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"unique"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// catalog has two versions, and plain has none.
func catalog() []artifact.DiscoveredService {
	cluster := func(name, version string) artifact.DiscoveredCluster {
		c := artifact.DiscoveredCluster{Name: "outbound|80|" + version + "|" + name + ".shop", Targets: []uint32{8080}}
		if version != "" {
			c.Selector = map[string]string{"version": version}
		}
		return c
	}
	return []artifact.DiscoveredService{
		{Namespace: "shop", Name: "catalog", Clusters: []artifact.DiscoveredCluster{cluster("catalog", "v1"), cluster("catalog", "")}},
		{Namespace: "shop", Name: "plain", Clusters: []artifact.DiscoveredCluster{cluster("plain", "")}},
	}
}

// sliceOf has endpoints of pods that are named as their addresses.
func sliceOf(name, service string, addresses ...string) *discoveryv1.EndpointSlice {
	number := int32(8080)
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &number}}}
	s.Namespace, s.Name = "shop", name
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
		s.Endpoints[len(s.Endpoints)-1].TargetRef = podRef(a)
	}
	return s
}

func pod(name string, labels map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels}}
}

// computed lists the clusters that are computed now.
func (s *Source) computed() []string { return slices.Sorted(maps.Keys(s.compute())) }

// TestTouched: what changes is computed again, and nothing else.
func TestTouched(t *testing.T) {
	s, _ := newSource(t, nowhere)
	s.Set(catalog())
	endpointSlices, pods, nodes := s.sliceStore(), s.podStore([]string{"version"}), s.nodeStore()
	v1, all, plain := "outbound|80|v1|catalog.shop", "outbound|80||catalog.shop", "outbound|80||plain.shop"
	a := sliceOf("catalog-1", "catalog", "10.0.0.1")
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"a slice, before the lists", func() error { return endpointSlices.Add(a) }, nil},
		{"all slices", func() error { return endpointSlices.Replace([]any{a, sliceOf("plain-1", "plain", "10.0.0.9")}, "") }, nil},
		{"all nodes", func() error { return nodes.Replace(nil, "") }, []string{all, plain}},
		{"all pods", func() error { return pods.Replace([]any{pod("other", nil)}, "") }, []string{v1, all}},
		{"the pod of an endpoint", func() error { return pods.Add(pod("10.0.0.1", map[string]string{"version": "v1", "x": "y"})) }, []string{v1, all}},
		{"the same again", func() error { return pods.Update(pod("10.0.0.1", map[string]string{"version": "v1", "x": "z"})) }, nil},
		{"a pod of nobody", func() error { return pods.Add(pod("job", nil)) }, nil},
		{"the same slice again", func() error { return endpointSlices.Update(a) }, nil},
		{"a slice of a service that nobody asks for", func() error { return endpointSlices.Add(sliceOf("dns-1", "dns", "10.0.0.53")) }, nil},
		{"another endpoint", func() error { return endpointSlices.Update(sliceOf("catalog-1", "catalog", "10.0.0.1", "10.0.0.2")) }, []string{v1, all}},
		{"a slice that moves", func() error { return endpointSlices.Update(sliceOf("catalog-1", "plain", "10.0.0.1")) }, []string{v1, all, plain}},
		{"a pod that is relabelled", func() error { return pods.Update(pod("10.0.0.1", nil)) }, []string{v1, all}},
		{"a pod that is gone", func() error { return pods.Delete(pod("10.0.0.1", nil)) }, nil},
		{"a slice that is gone", func() error { return endpointSlices.Delete(sliceOf("catalog-1", "plain")) }, []string{plain}},
		{"a list after a pause", func() error { return endpointSlices.Replace([]any{a}, "") }, []string{v1, all, plain}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, s.computed()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestUnread: a version that is known by a label which the pods were not read with
// is not told of, and does not take away what is.
func TestUnread(t *testing.T) {
	s, table := newSource(t, nowhere)
	s.Set(catalog())
	if err := s.podStore([]string{"version"}).Replace([]any{pod("10.0.0.1", map[string]string{"version": "v1", "tier": "gold"})}, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.nodeStore().Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.sliceStore().Replace([]any{sliceOf("catalog-1", "catalog", "10.0.0.1")}, ""); err != nil {
		t.Fatal(err)
	}
	s.tell()
	const v1 = "outbound|80|v1|catalog.shop"
	if got, _ := table.Get(v1); len(got) != 1 || !s.Synced() {
		t.Fatalf("%v, synced %t", got, s.Synced())
	}
	next := catalog()
	next[0].Clusters[0].Selector = map[string]string{"tier": "gold"}
	s.Set(next)
	if got, _ := table.Get(v1); len(got) != 1 || s.Synced() {
		t.Errorf("%v before the pods are read again, synced %t", got, s.Synced())
	}
	if err := s.podStore([]string{"tier"}).Replace([]any{pod("10.0.0.2", map[string]string{"tier": "gold"})}, ""); err != nil {
		t.Fatal(err)
	}
	s.tell()
	if got, _ := table.Get(v1); len(got) != 0 || !s.Synced() {
		t.Errorf("%v after, synced %t", got, s.Synced())
	}
	s.Set(next[1:])
	if got, ok := table.Get(v1); ok {
		t.Errorf("%v of a cluster that no release has", got)
	}
}

func TestLocalityOf(t *testing.T) {
	s, _ := newSource(t, nowhere)
	one := sliceOf("catalog-1", "catalog", "10.0.0.1", "10.0.0.2")
	zone := "a"
	one.Endpoints[1].Zone = &zone
	if err := s.sliceStore().Replace([]any{one}, ""); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, address := range []string{"10.0.0.1", "10.0.0.2", "::ffff:10.0.0.2", "10.0.0.3"} {
		got[address] = s.Locality(netip.MustParseAddr(address))
	}
	if diff := cmp.Diff(map[string]string{"10.0.0.1": "", "10.0.0.2": "/a", "::ffff:10.0.0.2": "/a", "10.0.0.3": ""}, got); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkMemory is what an endpoint costs: bytes/endpoint of slices and pods as
// they are kept, table-bytes/endpoint of what agents are told.
func BenchmarkMemory(b *testing.B) {
	const services, perService = 1000, 100
	for b.Loop() {
		s, table := newSource(b, nowhere)
		before := heap()
		var wanted []artifact.DiscoveredService
		all, pods := map[text]*slice{}, map[podID]text{}
		for i := range services {
			name := fmt.Sprintf("s%04d", i)
			wanted = append(wanted, artifact.DiscoveredService{Namespace: "shop", Name: name, Clusters: []artifact.DiscoveredCluster{
				{Name: "outbound|80||" + name, Targets: []uint32{8080}}}})
			var addresses []string
			for k := range perService {
				addresses = append(addresses, fmt.Sprintf("10.%d.%d.%d", i/250, i%250, k+1))
				pods[podOf("shop", addresses[k])] = encode(map[string]string{"version": "v1"})
			}
			all[unique.Make("shop/"+name)] = compact(sliceOf(name, name, addresses...))
		}
		s.change(func(f *facts) { f.replaceSlices(all); f.replacePods(pods, []string{"version"}); f.replaceNodes(nil) })
		all, pods = nil, nil
		kept := heap()
		s.Set(wanted)
		told := heap()
		b.ReportMetric(float64(kept-before)/(services*perService), "bytes/endpoint")
		b.ReportMetric(float64(told-kept)/(services*perService), "table-bytes/endpoint")
		if got, _ := table.Get("outbound|80||s0000"); len(got) != perService {
			b.Fatalf("%d endpoints", len(got))
		}
		runtime.KeepAlive(s)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // unique's table is swept by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkChurn is one pod that comes or goes, in a service of 1,000 among 1,000
// services, until the table has it.
func BenchmarkChurn(b *testing.B) {
	s, _ := newSource(b, nowhere)
	var wanted []artifact.DiscoveredService
	list := []any{}
	for i := range 1000 {
		name := fmt.Sprintf("s%04d", i)
		wanted = append(wanted, artifact.DiscoveredService{Namespace: "shop", Name: name, Clusters: []artifact.DiscoveredCluster{
			{Name: "outbound|80||" + name, Targets: []uint32{8080}}}})
		list = append(list, sliceOf(name, name, fmt.Sprintf("10.1.%d.%d", i/250, i%250)))
	}
	var addresses []string
	for i := range 1000 {
		addresses = append(addresses, fmt.Sprintf("10.2.%d.%d", i/250, i%250))
	}
	for i := range 10 {
		list = append(list, sliceOf(fmt.Sprintf("big-%d", i), "s0000", addresses[i*100:(i+1)*100]...))
	}
	if err := s.sliceStore().Replace(list, ""); err != nil {
		b.Fatal(err)
	}
	s.change(func(f *facts) { f.replaceNodes(nil) })
	s.Set(wanted)
	store := s.sliceStore()
	for i := 0; b.Loop(); i++ {
		if err := store.Update(sliceOf("big-0", "s0000", addresses[i%2:100]...)); err != nil {
			b.Fatal(err)
		}
		s.tell()
	}
}

func podRef(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Name: name}
}
