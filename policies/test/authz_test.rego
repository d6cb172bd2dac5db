package mesh_compile.authz_test

import data.mesh_compile.authz

asked := {"attributes": {
	"source": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": 40000}}},
	"destination": {"address": {"socketAddress": {"address": "10.0.0.2", "portValue": 8080}}},
	"request": {"http": {"method": "GET", "path": "/", "host": "shop", "headerLines": {}}},
}}

test_closed_without_rules if {
	not authz.allow with input as asked
	authz.decision == {"allow": false, "rule": ""} with input as asked
	authz.decision == {"allow": false, "rule": ""} with input as {}
}

test_allow_names_the_first_rule if {
	d := authz.decision with input as asked with data.mesh_compile.rules.allowed as {"b", "a"}
	d == {"allow": true, "rule": "a"}
}

test_deny_wins if {
	d := authz.decision with input as asked with data.mesh_compile.rules as {"allowed": {"a"}, "denied": {"d", "c"}, "open": {8080}}
	d == {"allow": false, "rule": "c"}
}

test_open_port if {
	authz.allow with input as asked with data.mesh_compile.rules.open as {8080}
	not authz.allow with input as asked with data.mesh_compile.rules.open as {9090}
}

test_incomplete_is_denied if {
	partly := json.remove(asked, ["attributes/request/http/path"])
	rules := {"allowed": {"a"}, "open": {8080}}
	not authz.allow with input as partly with data.mesh_compile.rules as rules
	joined := json.remove(asked, ["attributes/request/http/headerLines"])
	not authz.allow with input as joined with data.mesh_compile.rules as rules
}
