# Conditions on the headers of a request, and on the original client, which a
# header names. As in match.rego, they read the request themselves. Only bundles
# with such a condition carry this file.
package mesh_compile.headers

import data.mesh_compile.match
import data.mesh_compile.request

# The lines of a header, or a pseudo-header as the only one. Envoy takes "host"
# for ":authority".
lines(name) := input.attributes.request.http.headerLines[name] if not name in pseudo

lines(":method") := [request.method]

lines(":path") := [input.attributes.request.http.path]

lines(":scheme") := [input.attributes.request.http.scheme]

lines(":authority") := [request.host]

lines("host") := [request.host]

pseudo := {":method", ":path", ":scheme", ":authority", "host"}

# Joined lines, as the opa-envoy-plugin has them, cannot be told from one line with
# a comma: a condition on them would answer otherwise than RBAC. Nothing is allowed
# where the lines are not known.
incomplete if {
	is_string(request.method)
	not known
}

known if is_object(input.attributes.request.http.headerLines)

# Envoy compares each line, and one is enough
# (envoy.reloadable_features.rbac_match_headers_individually).
is(name, matchers) if {
	some line in lines(name)
	match.any_of(line, matchers)
}

# Absence counts as the empty value.
is_or_empty(name, matchers) if is(name, matchers)

is_or_empty(name, matchers) if {
	not present(name)
	match.any_of("", matchers)
}

present(name) if count(lines(name)) > 0

client(blocks) if match.any_block(client_address, blocks)

# The original client as Envoy's HTTP connection manager sees it with
# use_remote_address false: the last entry of x-forwarded-for if it is an
# address, else the peer (Http::Utility::getLastAddressFromXFF).
client_address := forwarded if {
	net.cidr_is_valid(concat("", [forwarded, "/32"]))
} else := request.peer

forwarded := trim_space(entries[count(entries) - 1]) if {
	all := input.attributes.request.http.headerLines["x-forwarded-for"]
	entries := split(concat(",", all), ",")
}
