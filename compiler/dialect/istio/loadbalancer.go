package istio

import (
	"math/big"
	"strconv"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// simplePolicies by Istio's names. UNSPECIFIED is the default of the dialect.
var simplePolicies = map[string]string{
	"": "", "UNSPECIFIED": "", "ROUND_ROBIN": "round-robin", "LEAST_REQUEST": "least-request",
	"LEAST_CONN": "least-request", "RANDOM": "random",
}

func (t *translator) loadBalancing(n *load.Node) *mesh.LoadBalancing {
	if n == nil {
		return nil
	}
	simple := text(n, "simple")
	lb := &mesh.LoadBalancing{Policy: simplePolicies[simple], Span: n.Span}
	switch simple {
	case "PASSTHROUGH":
		d := t.unsupported(t.at(n, "simple"), "PASSTHROUGH is not supported: the caller would choose the address, past every rule about the service")
		fix(d, "write LEAST_REQUEST, ROUND_ROBIN or RANDOM")
	case "LEAST_CONN":
		d := t.warn(t.at(n, "simple"), "LEAST_CONN is deprecated in Istio")
		fix(d, "write LEAST_REQUEST, which is the same")
	}
	if hash := n.Get("consistentHash"); hash != nil {
		t.consistentHash(hash, lb)
	}
	if locality := n.Get("localityLbSetting"); locality != nil && !isFalse(locality, "enabled") && !distributes(locality) {
		d := t.unsupported(n.Field("localityLbSetting").KeySpan, "localityLbSetting is not supported: endpoints are chosen without regard to their locality")
		fix(d, "leave it out, or write enabled: false")
	}
	t.warmup(n, lb)
	return lb
}

// distributes reports fields that the shape refuses one by one.
func distributes(locality *load.Node) bool {
	return len(items(locality, "distribute"))+len(items(locality, "failover"))+len(items(locality, "failoverPriority")) > 0
}

// consistentHash reads what is hashed, and over which table.
func (t *translator) consistentHash(n *load.Node, lb *mesh.LoadBalancing) {
	lb.Policy = "ring-hash"
	lb.Hash = &mesh.HashKey{
		Header:   t.hashHeader(n),
		Query:    text(n, "httpQueryParameterName"),
		SourceIP: isTrue(n, "useSourceIp"),
	}
	if cookie := n.Get("httpCookie"); cookie != nil {
		lb.Hash.Cookie = &mesh.HashCookie{Name: text(cookie, "name"), Path: text(cookie, "path"), TTL: t.Duration(cookie, "ttl", 0)}
		if !token(lb.Hash.Cookie.Name) {
			t.wrong(t.at(cookie, "name"), "cookie %q: a cookie's name is a token", lb.Hash.Cookie.Name)
		}
	}
	if *lb.Hash == (mesh.HashKey{}) {
		t.wrong(n.Span, "consistentHash does not say what to hash: write httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	}
	t.exclusive(n, "minimumRingSize", "ringHash", "write ringHash alone")
	t.exclusive(n, "minimumRingSize", "maglev", "a maglev table is no ring")
	lb.TableSize = t.tableSize(n, "minimumRingSize", maxRing)
	if ring := n.Get("ringHash"); ring != nil {
		lb.TableSize = t.tableSize(ring, "minimumRingSize", maxRing)
	}
	if maglev := n.Get("maglev"); maglev != nil {
		lb.Policy = "maglev"
		lb.TableSize = t.maglev(maglev)
	}
}

func (t *translator) hashHeader(n *load.Node) string {
	name := text(n, "httpHeaderName")
	if name != "" && !token(name) && name != ":authority" && name != ":path" && name != ":method" {
		t.wrong(t.at(n, "httpHeaderName"), "header %q: a header's name is a token", name)
	}
	return name
}

// Envoy's bounds (config.cluster.v3.Cluster.RingHashLbConfig and MaglevLbConfig).
const (
	maxRing   = 8 << 20
	maxMaglev = 5000011
)

func (t *translator) tableSize(n *load.Node, key string, most uint64) uint64 {
	v := n.Get(key)
	if v == nil || v.Kind != load.Int {
		return 0
	}
	size, err := strconv.ParseUint(v.Text, 10, 64)
	if err != nil || size > most {
		t.wrong(v.Span, "%s %s: want at most %d", key, v.Text, most)
		return 0
	}
	return size
}

// maglev tables have a prime size, which Istio and Envoy demand.
func (t *translator) maglev(n *load.Node) uint64 {
	size := t.tableSize(n, "tableSize", maxMaglev)
	if n.Get("tableSize") != nil && !new(big.Int).SetUint64(size).ProbablyPrime(0) {
		t.wrong(t.at(n, "tableSize"), "tableSize %d is not prime", size)
		return 0
	}
	return size
}

// The slope of slow start that is implemented: Istio's default.
const (
	warmupPercent    = 10
	warmupAggression = 1
)

func (t *translator) warmup(n *load.Node, lb *mesh.LoadBalancing) {
	lb.SlowStart = t.Duration(n, "warmupDurationSecs", time.Millisecond)
	f := n.Field("warmupDurationSecs")
	if w := n.Field("warmup"); w != nil {
		t.exclusive(n, "warmupDurationSecs", "warmup", "write warmup alone")
		f = w
		lb.SlowStart = t.Duration(w.Value, "duration", time.Millisecond)
		if w.Value.Get("duration") == nil {
			t.wrong(w.Value.Span, "warmup has no duration")
		}
		t.warmupDefault(w.Value, "minimumPercent", warmupPercent)
		t.warmupDefault(w.Value, "aggression", warmupAggression)
	}
	if f != nil && lb.Policy != "" && lb.Policy != "round-robin" && lb.Policy != "least-request" {
		d := t.wrong(f.KeySpan, "%s has no effect on this kind of load balancing", f.Key)
		fix(d, "write simple: LEAST_REQUEST or simple: ROUND_ROBIN")
	}
}

func (t *translator) warmupDefault(n *load.Node, key string, only float64) {
	if value, ok := float(n, key); ok && value != only {
		d := t.unsupported(t.at(n, key), "%s %s is not supported", key, n.Get(key).Text)
		fix(d, "leave it out: it is "+strconv.FormatFloat(only, 'g', -1, 64))
	}
}
