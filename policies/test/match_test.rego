package mesh_compile.match_test

import data.mesh_compile.match

test_comparisons if {
	match.any_of("/a/b", [{"exact": "/x"}, {"exact": "/a/b"}])
	match.any_of("/a/b", [{"prefix": "/a"}])
	match.any_of("/a/b", [{"suffix": "/b"}])
	match.any_of("/a/b", [{"contains": "a/"}])
	match.any_of("/a/b", [{"regex": `\A(?:/a/.)\z`}])
	match.any_of("", [{"present": true}])
	not match.any_of("/a/b", [])
	not match.any_of("/a/b", [{"exact": "/a"}, {"prefix": "a"}, {"suffix": "a"}, {"contains": "ba"}, {"regex": `\A(?:/a)\z`}])
}

test_segment_prefix if {
	match.any_of("/a", [{"segment_prefix": "/a"}])
	match.any_of("/a/", [{"segment_prefix": "/a"}])
	match.any_of("/a/b", [{"segment_prefix": "/a"}])
	match.any_of("/b", [{"segment_prefix": ""}])
	not match.any_of("/ab", [{"segment_prefix": "/a"}])
	not match.any_of("/", [{"segment_prefix": "/a"}])
	not match.any_of("", [{"segment_prefix": ""}])
}

test_ignore_case_is_about_ascii if {
	match.any_of("KASE", [{"exact": "kase", "ignore_case": true}])
	not match.any_of("KASE", [{"exact": "kase"}])
	not match.any_of("\u212aASE", [{"exact": "kase", "ignore_case": true}]) # the Kelvin sign
}

at(host) := {"attributes": {"request": {"http": {"host": host}}}}

test_host_with_or_without_port if {
	matchers := [{"exact": "shop", "ignore_case": true, "any_port": true}]
	every host in ["shop", "Shop", "shop:80", "shop:"] {
		match.host(matchers) with input as at(host)
	}
	every host in ["shops", "shop:x", "a.shop", "shop:80:80"] {
		not match.host(matchers) with input as at(host)
	}
	match.host([{"exact": "shop:80"}]) with input as at("shop:80")
	not match.host([{"exact": "shop:80"}]) with input as at("shop")
}

test_negation_holds_for_what_is_not_there if {
	not match.identity([{"prefix": "spiffe://"}]) with input as {}
	not match.namespace("td", [{"exact": "shop"}]) with input as {}
	not match.peer(["0.0.0.0/0"]) with input as {}
	not match.path([{"exact": "/"}]) with input as {}
}

test_blocks if {
	match.any_block("10.1.2.3", ["192.168.0.0/16", "10.0.0.0/8"])
	match.any_block("fd00::1", ["fd00::/8"])
	not match.any_block("11.1.2.3", ["10.0.0.0/8", "fd00::/8"])
	not match.any_block("no address", ["0.0.0.0/0"])
}
