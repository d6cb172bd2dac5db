package xds

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// ClusterName is the Envoy name of a backend, and what EDS is asked for.
func ClusterName(b *check.Backend) string {
	return "outbound|" + strconv.Itoa(int(b.Port.Number)) + "|" + b.Version + "|" + serviceName(b.Port.Service)
}

// StatName is what a cluster's metrics are under. Envoy takes a cluster's name to
// end at the first dot (tag extraction, cluster_name), and the rest of it to be
// part of the metric's name; so dots become slashes, which no name has.
func StatName(cluster string) string { return strings.ReplaceAll(cluster, ".", "/") }

// InboundClusterName is the Envoy name of the application behind a port.
func InboundClusterName(port uint32) string { return "inbound|" + strconv.Itoa(int(port)) }

// ServerName is the SNI that a client's proxy sends to a mesh backend.
func ServerName(b *check.Backend) string {
	return fmt.Sprintf("outbound_.%d_.%s_.%s", b.Port.Number, b.Version, serviceName(b.Port.Service))
}

// serviceName is unambiguous: a namespace has no dots.
func serviceName(s *check.Service) string { return s.Name + "." + s.Namespace }

func inboundListenerName(port uint32) string { return "inbound|" + strconv.Itoa(int(port)) }

// OutboundListener takes the application's own calls, and only those.
const OutboundListener = "outbound"

// hosts are the names of a service for a client in namespace, without ports.
func hosts(s *check.Service, local bool) []string {
	if local && s.ShortName {
		return append([]string{s.Name}, s.Hosts...)
	}
	return s.Hosts
}

// domains are the authorities that lead to a port. Where the listener does not
// know the port (an explicit proxy), the authority has to say it, and only the
// default port of http may be left out; where it does, both forms are the port's.
func domains(p *check.Port, local, portKnown bool) []string {
	var out []string
	for _, h := range hosts(p.Service, local) {
		out = append(out, h+":"+strconv.Itoa(int(p.Number)))
		if portKnown || p.Number == 80 {
			out = append(out, h)
		}
	}
	return out
}

// dnsName is a host of a service that a resolver can be asked for.
func dnsName(s *check.Service) (string, bool) {
	for i := len(s.Hosts) - 1; i >= 0; i-- {
		if !strings.HasPrefix(s.Hosts[i], "*") {
			return s.Hosts[i], true
		}
	}
	return "", false
}

func virtualHostName(p *check.Port) string {
	return serviceName(p.Service) + ":" + strconv.Itoa(int(p.Number))
}
