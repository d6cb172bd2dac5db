package istio

import (
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
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
	simple := n.TextOf("simple")
	lb := &mesh.LoadBalancing{Policy: simplePolicies[simple], Span: n.Span}
	switch simple {
	case "PASSTHROUGH":
		d := t.Unsupported(t.At(n, "simple"), "PASSTHROUGH is not supported: the caller would choose the address, past every rule about the service")
		d.SetFix("write LEAST_REQUEST, ROUND_ROBIN or RANDOM")
	case "LEAST_CONN":
		d := t.Warn(t.At(n, "simple"), "LEAST_CONN is deprecated in Istio")
		d.SetFix("write LEAST_REQUEST, which is the same")
	}
	if hash := n.Get("consistentHash"); hash != nil {
		t.consistentHash(hash, lb)
	}
	lb.Locality, lb.AnyLocality = t.locality(n.Get("localityLbSetting"))
	t.warmup(n, lb)
	return lb
}

// consistentHash reads what is hashed, and over which table.
func (t *translator) consistentHash(n *load.Node, lb *mesh.LoadBalancing) {
	lb.Policy = "ring-hash"
	key := mesh.HashKey{
		Header:   t.hashHeader(n),
		Query:    n.TextOf("httpQueryParameterName"),
		SourceIP: n.IsTrue("useSourceIp"),
		Cookie:   t.hashCookie(n.Get("httpCookie")),
	}
	lb.Hash = []mesh.HashKey{key}
	if key == (mesh.HashKey{}) {
		t.Wrong(n.Span, "consistentHash does not say what to hash: write httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	}
	t.Exclusive(n, "minimumRingSize", "ringHash", "write ringHash alone")
	t.Exclusive(n, "minimumRingSize", "maglev", "a maglev table is no ring")
	lb.TableSize = t.tableSize(n, "minimumRingSize", maxRing)
	if ring := n.Get("ringHash"); ring != nil {
		lb.TableSize = t.tableSize(ring, "minimumRingSize", maxRing)
	}
	if maglev := n.Get("maglev"); maglev != nil {
		lb.Policy = "maglev"
		lb.TableSize = t.maglev(maglev)
	}
}

// hashCookie reads a cookie. It is made only where it has a ttl, which may be 0.
func (t *translator) hashCookie(n *load.Node) *mesh.HashCookie {
	if n == nil {
		return nil
	}
	c := &mesh.HashCookie{Name: n.TextOf("name"), Path: n.TextOf("path"), TTL: t.Duration(n, "ttl", 0)}
	if !translate.Token(c.Name) {
		t.Wrong(t.At(n, "name"), "cookie %q: a cookie's name is a token", c.Name)
	}
	if c.Path != "" && !translate.CookieText(c.Path) {
		t.Wrong(t.At(n, "path"), "path %q has a character that no cookie's path has", c.Path)
	}
	for _, item := range n.ItemsOf("attributes") {
		a := mesh.CookieAttribute{Name: item.TextOf("name"), Value: item.TextOf("value")}
		switch {
		case !translate.Token(a.Name) || !translate.CookieText(a.Value):
			t.Wrong(item.Span, "attribute %s=%q: want a token, and a value without semicolon, comma, blank or control character", a.Name, a.Value)
		case translate.CookieOwn(a.Name):
			t.Wrong(t.At(item, "name"), "attribute %s: the cookie has ttl and path for it", a.Name)
		}
		c.Attributes = append(c.Attributes, a)
	}
	return c
}

func (t *translator) hashHeader(n *load.Node) string {
	name := n.TextOf("httpHeaderName")
	if name != "" && !translate.Token(name) && name != ":authority" && name != ":path" && name != ":method" {
		t.Wrong(t.At(n, "httpHeaderName"), "header %q: a header's name is a token", name)
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
		t.Wrong(v.Span, "%s %s: want at most %d", key, v.Text, most)
		return 0
	}
	return size
}

// maglev tables have a prime size, which Istio and Envoy demand.
func (t *translator) maglev(n *load.Node) uint64 {
	size := t.tableSize(n, "tableSize", maxMaglev)
	if n.Get("tableSize") != nil && !new(big.Int).SetUint64(size).ProbablyPrime(0) {
		t.Wrong(t.At(n, "tableSize"), "tableSize %d is not prime", size)
		return 0
	}
	return size
}

// What slow start is where nothing is written.
const (
	warmupPercent    = 10
	warmupAggression = 1
)

func (t *translator) warmup(n *load.Node, lb *mesh.LoadBalancing) {
	f := n.Field("warmupDurationSecs")
	window := t.Duration(n, "warmupDurationSecs", time.Millisecond)
	least, aggression := float64(warmupPercent), float64(warmupAggression)
	if w := n.Field("warmup"); w != nil {
		t.Exclusive(n, "warmupDurationSecs", "warmup", "write warmup alone")
		f = w
		window = t.Duration(w.Value, "duration", time.Millisecond)
		if w.Value.Get("duration") == nil {
			t.Wrong(w.Value.Span, "warmup has no duration")
		}
		if p, ok := t.percent(w.Value, "minimumPercent"); ok {
			least = p
		}
		// Istio's webhook takes 1 and more (destination_rule.proto, WarmupConfiguration).
		if a, ok := float(w.Value, "aggression"); ok {
			aggression = a
			if a < 1 || math.IsInf(a, 0) {
				t.Wrong(t.At(w.Value, "aggression"), "aggression %s: want at least 1", w.Value.Get("aggression").Text)
			}
		}
	}
	if window != nil {
		lb.SlowStart = &mesh.SlowStart{Window: *window, MinPercent: least, Aggression: aggression}
	}
	if f != nil && lb.Policy != "" && lb.Policy != "round-robin" && lb.Policy != "least-request" {
		d := t.Wrong(f.KeySpan, "%s has no effect on this kind of load balancing", f.Key)
		d.SetFix("write simple: LEAST_REQUEST or simple: ROUND_ROBIN")
	}
}
