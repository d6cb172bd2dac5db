package mesh_compile.lookup_test

import data.mesh_compile.lookup

table := {"8080": {
	"spiffe://td/a": {"GET": {"/a": "exact", "": "any path"}, "": {"": "anything"}},
	"": {"POST": {"/open": "anyone"}},
}}

asked(principal, method, path) := {"attributes": {
	"source": {"principal": principal},
	"destination": {"address": {"socketAddress": {"portValue": 8080}}},
	"request": {"http": {"method": method, "path": path}},
}}

test_any_counts_with_exact if {
	found("spiffe://td/a", "GET", "/a?b") == {"exact", "any path", "anything"}
	found("spiffe://td/a", "PUT", "/a") == {"anything"}
	found("spiffe://td/b", "POST", "/open") == {"anyone"}
	found("", "POST", "/open") == {"anyone"}
	found("", "GET", "/a") == set()
}

found(principal, method, path) := ids if {
	ids := lookup.allowed with input as asked(principal, method, path)
		with data.mesh_compile.table.allow as table
}

test_other_port if {
	elsewhere := {"attributes": {"destination": {"address": {"socketAddress": {"portValue": 80}}}}}
	ids := lookup.denied with input as elsewhere with data.mesh_compile.table.deny as table
	ids == set()
}
