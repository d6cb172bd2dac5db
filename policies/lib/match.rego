# Comparisons of the mesh model. A matcher is an object of one comparison
# (exact, prefix, suffix, contains, segment_prefix, regex, present) and, where
# case does not count, ignore_case: its value is in lower case then.
package mesh_compile.match

import data.mesh_compile.request

# The functions that rules call read the request themselves. OPA takes the
# arguments of a negated call out of the negation: "not f(input.x)" does not hold
# where x is undefined, and a denial of all but some callers would miss those
# without identity.
identity(matchers) if any_of(request.identity, matchers)

namespace(domain, matchers) if any_of(request.namespace(domain), matchers)

peer(blocks) if any_block(request.peer, blocks)

local(blocks) if any_block(request.local, blocks)

sni(matchers) if any_of(request.sni, matchers)

method(matchers) if any_of(request.method, matchers)

path(matchers) if any_of(request.path, matchers)

# A matcher with any_port also takes the authority without its port
# (CVE-2021-39155, ISTIO-SECURITY-2021-008).
host(matchers) if any_of(request.host, matchers)

host(matchers) if any_of(request.host_name, [m | some m in matchers; m.any_port])

any_of(value, matchers) if {
	some matcher in matchers
	matches(value, matcher)
}

any_block(address, blocks) if {
	some block in blocks
	net.cidr_contains(block, address)
}

matches(value, matcher) if {
	not matcher.ignore_case
	compare(value, matcher)
}

matches(value, matcher) if {
	matcher.ignore_case
	compare(strings.replace_n(lower_ascii, value), matcher)
}

compare(value, matcher) if value == matcher.exact

compare(value, matcher) if startswith(value, matcher.prefix)

compare(value, matcher) if endswith(value, matcher.suffix)

compare(value, matcher) if contains(value, matcher.contains)

compare(value, matcher) if regex.match(matcher.regex, value)

# Whole path segments: "/a" and "/a/b", not "/ab". The value has no slash at its end.
compare(value, matcher) if {
	matcher.segment_prefix != ""
	value == matcher.segment_prefix
}

compare(value, matcher) if startswith(value, concat("", [matcher.segment_prefix, "/"]))

compare(_, matcher) if matcher.present

# Envoy's ignore_case is about ASCII, lower() about Unicode.
lower_ascii := {
	"A": "a", "B": "b", "C": "c", "D": "d", "E": "e", "F": "f", "G": "g",
	"H": "h", "I": "i", "J": "j", "K": "k", "L": "l", "M": "m", "N": "n",
	"O": "o", "P": "p", "Q": "q", "R": "r", "S": "s", "T": "t", "U": "u",
	"V": "v", "W": "w", "X": "x", "Y": "y", "Z": "z",
}
