package reach

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// hosts finds services by the names that clients use.
type hosts struct {
	byHost   map[string][]*check.Service
	wildcard []*check.Service // with hosts that start with "*."
}

func newHosts(m *check.Mesh) *hosts {
	h := &hosts{byHost: map[string][]*check.Service{}}
	for _, s := range m.Services() {
		names := s.Hosts
		if s.ShortName {
			names = append(slices.Clip(names), s.Name)
		}
		wild := false
		for _, name := range names {
			h.byHost[strings.ToLower(name)] = append(h.byHost[strings.ToLower(name)], s)
			wild = wild || strings.HasPrefix(name, "*.")
		}
		if wild {
			h.wildcard = append(h.wildcard, s)
		}
	}
	return h
}

// named returns the services that a host may mean to a client in namespace;
// exact names come before wildcards, longest first, as in Envoy's domains.
func (h *hosts) named(host, namespace string) []*check.Service {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	var found []*check.Service
	for _, s := range h.byHost[host] {
		short := !slices.ContainsFunc(s.Hosts, func(n string) bool { return strings.EqualFold(n, host) })
		if !short || s.Namespace == namespace {
			found = append(found, s)
		}
	}
	if len(found) > 0 {
		return found
	}
	longest := 0
	for _, s := range h.wildcard {
		switch n := wildcardLength(s.Hosts, host); {
		case n == 0 || n < longest:
		case n > longest:
			longest, found = n, []*check.Service{s}
		default:
			found = append(found, s)
		}
	}
	return found
}

func wildcardLength(names []string, host string) int {
	longest := 0
	for _, n := range names {
		if suffix, ok := strings.CutPrefix(strings.ToLower(n), "*"); ok && suffix != "" &&
			len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			longest = max(longest, len(suffix))
		}
	}
	return longest
}

// splitHostPort reads "host:port"; without a port it is HTTP's 80.
func splitHostPort(to string) (string, uint32, bool) {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		if to == "" || strings.Contains(to, ":") {
			return "", 0, false
		}
		return strings.TrimSuffix(to, "."), 80, true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	host = strings.TrimSuffix(host, ".") // as the proxies do, see withoutDot
	return host, uint32(n), err == nil && host != "" && n > 0
}
