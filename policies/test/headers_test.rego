package mesh_compile.headers_test

import data.mesh_compile.headers

with_headers(h) := {"attributes": {
	"source": {"address": {"socketAddress": {"address": "10.0.0.1"}}},
	"request": {"http": {"method": "GET", "path": "/a?b", "host": "shop", "scheme": "http", "headerLines": h}},
}}

test_header if {
	headers.is("x-a", [{"exact": ""}]) with input as with_headers({"x-a": [""]})
	headers.is("x-a", [{"exact": "1,2"}]) with input as with_headers({"x-a": ["1,2"]})
	not headers.is("x-a", [{"present": true}]) with input as with_headers({})
}

test_each_line if {
	two := with_headers({"x-a": ["1", "2"]})
	headers.is("x-a", [{"exact": "2"}]) with input as two
	not headers.is("x-a", [{"exact": "1,2"}]) with input as two
	headers.is_or_empty("x-a", [{"exact": "2"}]) with input as two
	not headers.is_or_empty("x-a", [{"exact": ""}]) with input as two
}

test_absent_is_empty if {
	headers.is_or_empty("x-a", [{"exact": ""}]) with input as with_headers({})
	not headers.is_or_empty("x-a", [{"exact": "1"}]) with input as with_headers({})
	not headers.is_or_empty("x-a", [{"exact": ""}]) with input as with_headers({"x-a": ["1"]})
	headers.is_or_empty("x-a", [{"exact": ""}]) with input as json.remove(with_headers({}), ["attributes/request/http/headerLines"])
}

test_pseudo_headers_are_not_headers if {
	lies := {":method": ["PUT"], "host": ["evil"], ":path": ["/x"]}
	headers.is(":method", [{"exact": "GET"}]) with input as with_headers(lies)
	headers.is("host", [{"exact": "shop"}]) with input as with_headers(lies)
	headers.is(":authority", [{"exact": "shop"}]) with input as with_headers(lies)
	headers.is(":path", [{"exact": "/a?b"}]) with input as with_headers(lies)
	headers.is(":scheme", [{"exact": "http"}]) with input as with_headers(lies)
}

test_client if {
	headers.client(["192.0.2.0/24"]) with input as with_headers({"x-forwarded-for": ["10.9.9.9, 192.0.2.7"]})
	headers.client(["fd00::/8"]) with input as with_headers({"x-forwarded-for": ["fd00::1"]})
	every unusable in ["", "unknown", "192.0.2.7:80", "192.0.2.7,"] {
		headers.client(["10.0.0.1/32"]) with input as with_headers({"x-forwarded-for": [unusable]})
	}
	headers.client(["10.0.0.1/32"]) with input as with_headers({})
}

test_incomplete if {
	not headers.incomplete with input as with_headers({})
	headers.incomplete with input as json.remove(with_headers({}), ["attributes/request/http/headerLines"])
	not headers.incomplete with input as {"attributes": {"source": {"address": {"socketAddress": {"address": "10.0.0.1"}}}}}
}
