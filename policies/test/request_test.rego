package mesh_compile.request_test

import data.mesh_compile.request

at(path, host) := {"attributes": {
	"source": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": 40000}}},
	"destination": {"address": {"socketAddress": {"address": "10.0.0.2", "portValue": 8080}}},
	"request": {"http": {"method": "GET", "path": path, "host": host}},
}}

test_path_without_query if {
	request.path == "/a" with input as at("/a?b=/c?d", "x")
	request.path == "/a" with input as at("/a#b", "x")
	request.path == "*" with input as at("*", "x")
}

test_host_name if {
	request.host_name == "shop" with input as at("/", "shop:8080")
	request.host_name == "[fd00::1]" with input as at("/", "[fd00::1]:80")
	not request.host_name with input as at("/", "shop")
	request.host_name == "shop" with input as at("/", "shop:")
	not request.host_name with input as at("/", "shop:80 ")
}

called(principal) := {"attributes": {"source": {"principal": principal}}}

test_identity_is_a_spiffe_id if {
	request.identity == "spiffe://td/ns/shop/sa/order" with input as called("spiffe://td/ns/shop/sa/order")
	not request.identity with input as called("")
	not request.identity with input as called("CN=order")
	not request.identity with input as {"attributes": {"source": {}}}
}

test_namespace_is_of_the_trust_domain if {
	request.namespace("td") == "shop" with input as called("spiffe://td/ns/shop/sa/order")
	not request.namespace("td") with input as called("spiffe://other/ns/shop/sa/order")
	not request.namespace("td") with input as called("spiffe://td/ns/shop")
	not request.namespace("t") with input as called("spiffe://td/ns/shop/sa/order")
}

test_complete_needs_every_field if {
	whole := at("/", "shop")
	request.complete with input as whole
	every missing in ["method", "path", "host"] {
		not request.complete with input as json.remove(whole, [concat("/", ["attributes/request/http", missing])])
	}
	not request.complete with input as json.remove(whole, ["attributes/source"])
	not request.complete with input as json.remove(whole, ["attributes/request"])
}

test_connections_have_no_request if {
	whole := json.remove(at("/", "shop"), ["attributes/request"])
	request.complete with input as whole with data.mesh_compile.rules.connections as {8080}
	not request.complete with input as whole with data.mesh_compile.rules.connections as {9090}
}
