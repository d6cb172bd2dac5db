# What the rules of a workload say of a request, read from the input document of
# the opa-envoy-plugin.
package mesh_compile.request

http := input.attributes.request.http

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

# What Envoy's url_path matches: no query and no fragment. Envoy has normalized
# the path before it asks.
path := split(split(http.path, "?")[0], "#")[0]

# The authority without its port, where it has one.
host_name := regex.find_all_string_submatch_n(`\A(.*):[0-9]+\z`, http.host, 1)[0][1]

default headers := {}

headers := http.headers

header(name) := headers[name] if not name in pseudo

header(":method") := http.method

header(":path") := http.path

header(":scheme") := http.scheme

header(":authority") := http.host

header("host") := http.host

pseudo := {":method", ":path", ":scheme", ":authority", "host"}

has_header(name) if header(name)

# The original client as Envoy's HTTP connection manager sees it with
# use_remote_address false: the last entry of x-forwarded-for if it is an
# address, else the peer (Http::Utility::getLastAddressFromXFF).
client := forwarded if {
	is_address(forwarded)
} else := peer

forwarded := trim_space(entries[count(entries) - 1]) if entries := split(headers["x-forwarded-for"], ",")

is_address(text) if net.cidr_is_valid(concat("", [text, "/32"]))

# What the lookup table knows a request by; "" stands for any.
callers := {"", identity}

callers := {""} if not identity

methods := {"", http.method}

methods := {""} if not http

paths := {"", path}

paths := {""} if not http

# Nothing is allowed on an input that lacks what rules ask about: a negated
# condition holds for what is not there.
complete if {
	is_string(peer)
	not http
}

complete if {
	is_string(peer)
	is_string(http.method)
	is_string(http.path)
	is_string(http.host)
}
