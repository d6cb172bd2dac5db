package artifact

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	shop := DiscoveredService{Namespace: "shop", Name: "catalog", Clusters: []DiscoveredCluster{
		{Name: "outbound|80|v1|catalog.shop", PortName: "http", Targets: []uint32{8080}, Selector: map[string]string{"version": "v1", "app": "catalog"}},
		{Name: "outbound|80||catalog.shop", PortName: "http", Targets: []uint32{9090, 8080, 8080}, Written: []WrittenEndpoint{
			{Host: "db.example", Port: 8080}, {Host: "10.0.0.1", Port: 8080, Locality: "r/z", Weight: 2}, {Host: "db.example", Port: 8080}}},
	}}
	bank := DiscoveredService{Namespace: "bank", Name: "ledger", Clusters: []DiscoveredCluster{{Name: "outbound|80||ledger.bank", Targets: []uint32{80}}}}
	encode := func(services ...DiscoveredService) []byte {
		var parts [][]byte
		for _, s := range services {
			part, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part)
		}
		return EncodeDiscovery(parts)
	}
	data := encode(bank, shop)
	got, err := DecodeDiscovery(data)
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(got...); !bytes.Equal(again, data) {
		t.Errorf("encoded again (-first +second):\n%s", cmp.Diff(string(data), string(again)))
	}
	want := DiscoveredCluster{Name: "outbound|80||catalog.shop", PortName: "http", Targets: []uint32{8080, 9090}, Written: []WrittenEndpoint{
		{Host: "10.0.0.1", Port: 8080, Locality: "r/z", Weight: 2}, {Host: "db.example", Port: 8080}}}
	if diff := cmp.Diff(want, got[1].Clusters[1]); diff != "" {
		t.Errorf("sorted, each once (-want +got):\n%s", diff)
	}
	for name, bad := range map[string][]byte{
		"out of order":       encode(shop, bank),
		"twice":              encode(bank, bank),
		"a cluster twice":    encode(bank, DiscoveredService{Namespace: "z", Name: "z", Clusters: bank.Clusters}),
		"another version":    []byte(strings.Replace(string(data), `"version":1,`, `"version":2,`, 1)),
		"an unknown field":   []byte(strings.Replace(string(data), `"targets"`, `"target"`, 1)),
		"a field twice":      []byte(strings.Replace(string(data), `"name":"ledger"`, `"name":"ledger","name":"x"`, 1)),
		"port 0":             []byte(strings.Replace(string(data), `[8080]`, `[0]`, 1)),
		"ports out of order": []byte(strings.Replace(string(data), `[8080,9090]`, `[9090,8080]`, 1)),
		"more after it":      append(bytes.Clone(data), '1'),
		"nothing":            nil,
	} {
		if s, err := DecodeDiscovery(bad); err == nil {
			t.Errorf("%s: accepted as %v", name, s)
		}
	}
}
