# What the rules of a workload ask about a request, read from the input document
# of the opa-envoy-plugin. Each field is read by its own path: the agent builds
# only what a bundle reads, and headers are the costly part, see headers.rego.
package mesh_compile.request

import data.mesh_compile.rules

port := input.attributes.destination.address.socketAddress.portValue

# The address of the connection's other end.
peer := input.attributes.source.address.socketAddress.address

# The address that the caller connected to.
local := input.attributes.destination.address.socketAddress.address

sni := input.attributes.tlsSession.sni

# Undefined for a caller without identity. Envoy's ext_authz names a certificate
# without URI by DNS name or subject, which is no identity here.
identity := input.attributes.source.principal if startswith(input.attributes.source.principal, "spiffe://")

# The namespace within an identity of a trust domain.
namespace(domain) := parts[0] if {
	base := concat("", ["spiffe://", domain, "/ns/"])
	startswith(identity, base)
	parts := split(trim_prefix(identity, base), "/")
	count(parts) > 1
}

method := input.attributes.request.http.method

host := input.attributes.request.http.host

# What Envoy's url_path matches: no query and no fragment. Envoy has normalized
# the path before it asks.
path := split(split(input.attributes.request.http.path, "?")[0], "#")[0]

# The authority without its port, where it has one: "host:" has an empty one
# (RFC 3986, 3.2.3).
host_name := regex.find_all_string_submatch_n(`\A(.*):[0-9]*\z`, host, 1)[0][1]

# Nothing is allowed on an input that lacks what rules ask about: a negated
# condition holds for what is not there.
complete if {
	is_string(peer)
	port in rules.connections
}

complete if {
	is_string(peer)
	is_string(method)
	is_string(path)
	is_string(host)
}
