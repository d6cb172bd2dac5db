package reach

import (
	"net/netip"
	"slices"
	"strings"
)

// Sample is a concrete request out of a set.
type Sample struct {
	Method    string
	Path      string // with query
	Headers   map[string]string
	Authority string // "" where the set does not ask
	// Identity is a SPIFFE id; Anonymous is a caller without one; neither: the set
	// does not ask who calls.
	Identity     string
	Anonymous    bool
	Peer, Client netip.Addr
}

func (s *Sample) message(authority string) *message {
	m := &message{method: s.Method, scheme: "http", authority: authority, headers: map[string][]string{}}
	if s.Authority != "" {
		m.authority = s.Authority
	}
	m.path, m.query = splitQuery(s.Path)
	for name, value := range s.Headers {
		m.headers[name] = []string{value}
	}
	return m
}

func (s *Sample) caller() *caller {
	return &caller{identity: s.Identity, peer: s.Peer, client: s.Client}
}

// point picks a value in every dimension of a cube. It fails where it knows none
// that fits, which does not prove that there is none.
func (s *space) point(c cube, start int) (*Sample, bool) {
	if s.spend(1); s.exhausted() {
		return nil, false
	}
	out := &Sample{Method: "GET", Path: "/"}
	var query, cookies []string
	for i, d := range s.dims {
		value, present, ok := s.pick(c, i, d, start)
		if !ok {
			return nil, false
		}
		if !present {
			out.Anonymous = out.Anonymous || d.key.kind == dimIdentity
			continue
		}
		switch d.key.kind {
		case dimQuery:
			query = append(query, d.key.name+"="+value)
		case dimCookie:
			cookies = append(cookies, d.key.name+"="+value)
		default:
			out.put(d.key, value)
		}
	}
	if len(query) > 0 {
		out.Path += "?" + strings.Join(query, "&")
	}
	if len(cookies) > 0 {
		out.put(dimKey{dimHeader, "cookie"}, strings.Join(cookies, "; "))
	}
	return out, true
}

func (s *Sample) put(key dimKey, value string) {
	switch key.kind {
	case dimMethod:
		s.Method = value
	case dimPath:
		s.Path = value
	case dimAuthority:
		s.Authority = value
	case dimHeader:
		if s.Headers == nil {
			s.Headers = map[string]string{}
		}
		s.Headers[key.name] = value
	case dimIdentity:
		s.Identity = value
	case dimPeer:
		s.Peer, _ = netip.ParseAddr(value)
	case dimClient:
		s.Client, _ = netip.ParseAddr(value)
	}
}

// pick chooses a value of one dimension: a natural one, then those of the
// cube's atoms from the start-th on, then those that opaque predicates suggest.
func (s *space) pick(c cube, base int, d *dimension, start int) (value string, present, ok bool) {
	set := s.get(c, base)
	fits := func(v string) bool { return d.valid(v) && set.contains(d.atom(v)) && s.agreesValue(c, d, v, true) }
	natural := start == 0 || c[base] == nil
	missing := set.contains(absent) && s.agreesValue(c, d, "", false)
	if missing && d.key.kind != dimIdentity {
		return "", false, true
	}
	if natural {
		if i := slices.IndexFunc(d.prefer, fits); i >= 0 {
			return d.prefer[i], true, true
		}
	}
	if missing {
		return "", false, true
	}
	return s.search(c, set, d, start, fits)
}

func (s *space) search(c cube, set atomSet, d *dimension, start int, fits func(string) bool) (string, bool, bool) {
	tried := 0
	for atom := range set.all {
		if tried++; tried <= start || atom == absent || !d.sampled[atom] {
			continue
		}
		if fits(d.samples[atom]) {
			return d.samples[atom], true, true
		}
		for _, v := range d.suggested(c, d.samples[atom]) {
			if fits(v) {
				return v, true, true
			}
		}
		if tried > start+maxTried {
			break
		}
	}
	return "", false, false
}

// suggested values are made of the examples of the opaque predicates that must
// hold, alone and behind a value of the atom.
func (d *dimension) suggested(c cube, base string) []string {
	var out []string
	for i := range d.opaque {
		o := &d.opaque[i]
		if c[o.index] == nil || !c[o.index].contains(1) {
			continue
		}
		for _, e := range o.examples {
			out = append(out, e, "/"+e, base+e, strings.TrimSuffix(base, "/")+"/"+e)
		}
	}
	if len(d.opaque) > 0 {
		for _, tail := range tails {
			out = append(out, base+tail)
		}
	}
	return out
}
