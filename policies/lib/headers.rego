# Conditions on the headers of a request, and on the original client, which a
# header names. As in match.rego, they read the request themselves. Only bundles
# with such a condition carry this file.
package mesh_compile.headers

import data.mesh_compile.match
import data.mesh_compile.request

# A header, several lines of it joined by a comma, or a pseudo-header. Envoy
# takes "host" for ":authority".
value(name) := input.attributes.request.http.headers[name] if not name in {":method", ":path", ":scheme", ":authority", "host"}

value(":method") := request.method

value(":path") := input.attributes.request.http.path

value(":scheme") := input.attributes.request.http.scheme

value(":authority") := request.host

value("host") := request.host

is(name, matchers) if match.any_of(value(name), matchers)

# Absence counts as the empty value.
is_or_empty(name, matchers) if is(name, matchers)

is_or_empty(name, matchers) if {
	not present(name)
	match.any_of("", matchers)
}

present(name) if is_string(value(name))

client(blocks) if match.any_block(client_address, blocks)

# The original client as Envoy's HTTP connection manager sees it with
# use_remote_address false: the last entry of x-forwarded-for if it is an
# address, else the peer (Http::Utility::getLastAddressFromXFF).
client_address := forwarded if {
	net.cidr_is_valid(concat("", [forwarded, "/32"]))
} else := request.peer

forwarded := trim_space(entries[count(entries) - 1]) if {
	entries := split(input.attributes.request.http.headers["x-forwarded-for"], ",")
}
