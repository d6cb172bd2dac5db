package artifact

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLeafEncoding(t *testing.T) {
	t.Parallel()
	for _, want := range mesh(t, nil, 2, nil).Leaves() {
		data := want.Encode()
		got, err := DecodeLeaf(data)
		if err != nil || got != want {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
		for n := range data {
			if _, err := DecodeLeaf(data[:n]); err == nil {
				t.Errorf("the first %d of %d bytes are accepted", n, len(data))
			}
		}
		if _, err := DecodeLeaf(append(data, 0)); err == nil {
			t.Error("a trailing byte is accepted")
		}
	}
	// Moving a byte from one field to its neighbour must change the encoding.
	a, b := Leaf{SPIFFEID: "ab", Workload: "c"}, Leaf{SPIFFEID: "a", Workload: "bc"}
	if bytes.Equal(a.Encode(), b.Encode()) {
		t.Error("two leaves have one encoding")
	}
}

func TestDecodeListRefuses(t *testing.T) {
	t.Parallel()
	d := string(bytes.Repeat([]byte{7}, 32))
	for name, body := range map[string]string{
		"padded integer": "\x01\x01t\x01n" + d + "\x80\x00",
		"empty group":    "\x00\x01t",
		"split group":    "\x01\x01t\x01a" + d + "\x01" + "\x01\x01t\x01b" + d + "\x01",
		"out of order":   "\x02\x01t\x01b" + d + "\x01" + "\x01a" + d + "\x01",
		"huge count":     "\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01t",
		"huge name":      "\x01\x01t\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"no digest":      "\x01\x01t\x01n" + strings.Repeat("\x00", 32) + "\x01",
	} {
		if refs, err := DecodeList([]byte(listMagic + body)); err == nil {
			t.Errorf("%s: accepted as %v", name, refs)
		}
	}
	if refs, err := DecodeList([]byte(listMagic + "\x01\x01t\x01n" + d + "\x05")); err != nil || len(refs) != 1 {
		t.Errorf("a good list: %v, %v", refs, err)
	}
}

func TestPolicyBlobs(t *testing.T) {
	t.Parallel()
	a := Constraints{EndpointCIDRs: []string{"10.0.0.0/8", "fd00::/8"}, Clusters: []ClusterConstraint{
		{Name: "b", Ports: []uint32{80}, SANs: []string{"spiffe://mesh/y", "spiffe://mesh/x"}, MTLS: true}, {Name: "a", Ports: []uint32{2, 1}}}}
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeConstraints(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Encode(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%s, %v, want %s", again, err, data)
	}
	for _, bad := range []Constraints{
		{EndpointCIDRs: []string{"10.1.0.0/8"}},
		{Clusters: []ClusterConstraint{{Name: "a"}, {Name: "a"}}},
		{Clusters: []ClusterConstraint{{Name: "a", Ports: []uint32{65536}}}},
	} {
		if data, err := bad.Encode(); err == nil {
			t.Errorf("accepted: %s", data)
		}
	}
	if _, err := DecodeAgentPolicy([]byte(`{"Engine":"rbac","capture":"none","inbound":[],"outbound":[]}`)); err == nil {
		t.Error("a field in another case is accepted")
	}
}

// TestManifestJSON: the manifest's own writer agrees with encoding/json.
func TestManifestJSON(t *testing.T) {
	t.Parallel()
	m := Manifest{Format: Format, Shared: map[string]Digest{"a": {1}}, Aux: map[string]Digest{}, Leaves: []Leaf{
		{SPIFFEID: "spiffe://mesh/ns/shop/sa/a", Workload: "shop/a", Kind: Live, Slice: Digest{2}, Constraints: Digest{3}, AgentPolicy: Digest{4}, MinEnvoy: "1.37.0", Sensitivity: Normal},
		{SPIFFEID: `spiffe://"<é>&\` + "\u2028\x7f\xff", Workload: "\t", Kind: Tombstone, Bundle: Digest{5}, Sensitivity: LockdownOnExpiry},
	}}
	for n := range len(m.Leaves) + 1 {
		some := m
		some.Leaves = m.Leaves[:n]
		want, err := encodeJSON("the manifest", some)
		if err != nil {
			t.Fatal(err)
		}
		got, err := some.encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%d leaves (-encoding/json +own):\n%s", n, diff)
		}
	}
}
