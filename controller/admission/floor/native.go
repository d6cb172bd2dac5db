package floor

import (
	"fmt"
	"strings"
)

const nativeGroup = "mesh-compile.dev"

var nativeVersions = []string{"v1alpha1"}

func native(kind, resource string, lists map[string]string, rules ...Rule) Policy {
	return Policy{Kinds: []Kind{{nativeGroup, kind, resource, nativeVersions}}, Lists: lists, Rules: rules}
}

func natives() []Policy {
	return []Policy{
		native("MeshRoute", "meshroutes", map[string]string{"rules": list("object.spec", "rules")}, routes()...),
		native("AccessPolicy", "accesspolicies", map[string]string{
			"allow":   list("object.spec", "allow"),
			"entries": untyped("allow") + " + " + untyped("deny") + " + " + untyped("audit"),
		}, access()...),
		native("AuthenticationPolicy", "authenticationpolicies", map[string]string{
			"ports": "has(object.spec.mtls) ? " + list("object.spec.mtls", "ports") + " : []",
		}, authentication()...),
		native("Mesh", "meshes", map[string]string{
			"namespaces": "has(object.spec.access) ? " + list("object.spec.access", "namespaces") + " : []",
		}, mesh()...),
		native("Grant", "grants", nil,
			absent("", "spec", "delegateTo", noEffect),
			absent("", "spec", "delegatedBy", noEffect)),
		native("Assumption", "assumptions", nil,
			absent("", "spec", "issuers", noEffect),
			absent("", "spec", "serviceAccounts", "leave it out: service accounts need no declaration")),
		native("TrafficPolicy", "trafficpolicies", nil,
			unsupported("", "has(x.spec.tls) && x.spec.tls.mode == 'mutual'", "spec.tls.mode",
				quote("mode mutual is not supported yet: write simple, or mesh for a service of the mesh"), ""),
			unsupported("", "has(x.spec.fallback) && has(x.spec.fallback.to)", "spec.fallback.to",
				quote("field to is not supported yet"), quote("write respond, a fixed answer: Envoy sends to no other service what its circuit breaker refused"))),
	}
}

// list is a list that may be absent.
func list(of, field string) string {
	return fmt.Sprintf("(has(%s.%s) ? %[1]s.%[2]s : [])", of, field)
}

// untyped is a list of the spec whose items may stand beside those of another list.
func untyped(field string) string {
	return fmt.Sprintf("(has(object.spec.%s) ? dyn(object.spec.%[1]s) : [])", field)
}

// anyOf says that there is one of the fields.
func anyOf(of string, fields ...string) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = "has(" + of + "." + f + ")"
	}
	return "(" + strings.Join(out, " || ") + ")"
}

// first is the name of the first of the fields that x has.
func first(of string, fields ...string) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "has(%s.%s) ? '%[2]s' : ", of, f)
	}
	return "(" + b.String() + "'')"
}

var forwarding = []string{"rewrite", "requestHeaders", "timeout", "streamIdleTimeout", "maxStreamDuration", "retry", "mirror", "sticky"}

// everything says of a match that it evidently takes every request.
const everything = "(!has(m.path) || (has(m.path.prefix) && m.path.prefix == '/')) && !has(m.grpc) && " +
	"!has(m.methods) && !has(m.headers) && !has(m.query) && !has(m.cookies) && !has(m.ports) && !has(m.from) && !has(m.sni)"

func routes() []Rule {
	rule := "spec.rules[%s]"
	return []Rule{
		value("rules", "has(object.spec.gateway) && !has(x.to) && !has(x.redirect) && !has(x.respond) && !has(x.delegate)", rule,
			`'rule "' + x.name + '" needs to, redirect or respond: a route for a gateway has no service of its own'`, ""),
		absent("", "spec", "parent", "write the rules in the parent route"),
		value("", "has(x.spec.hosts) && "+anyOf("x.spec", "service", "externalService"), "spec.hosts",
			"'hosts stands beside ' + "+first("x.spec", "service", "externalService")+" + ': it is for gateway, the hosts of a service follow from the service'", ""),
		value("rules", "!has(x.match) && variables.rules.indexOf(x) < variables.rules.size() - 1", rule,
			`'rule "' + x.name + '" has no match and is not the last: it would take every request from the rules below'`,
			quote("move it to the end, or give it a match")),
		value("", "!has(x.spec.unmatched) && variables.rules.all(r, has(r.match) && !r.match.exists(m, "+everything+"))", "spec.unmatched",
			quote("unmatched is required: no rule matches everything"),
			quote("write unmatched: service (go to the service as if there were no route) or unmatched: not-found (404)")),
		absent("rules", rule, "delegate", "write the rules in this route"),
		value("rules", anyOf("x", "redirect", "respond")+" && "+anyOf("x", forwarding...), rule,
			first("x", forwarding...)+" + ' has no meaning beside ' + "+first("x", "redirect", "respond")+" + ': the request is not sent on'", ""),
		value("rules", "has(x.totalWeight) && "+anyOf("x", "redirect", "respond"), rule+".totalWeight",
			quote("totalWeight has no meaning without to"), ""),
		value("rules", "has(x.to) && x.to.exists(d, has(d.namespace) && !has(d.service))", rule+".to",
			quote("namespace stands without service: write the service\\'s name too"), ""),
		weights("rules", "has(x.to) && x.to.size() > 1 && x.to.exists(d, !has(d.weight))", rule+".to",
			`'one of the ' + string(x.to.size()) + ' destinations of rule "' + x.name + '" has no weight'`),
		weights("rules", "has(x.to) && x.to.all(d, has(d.weight)) && "+sum+" != "+total, rule+".to",
			`'the weights of rule "' + x.name + '" sum to ' + string(`+sum+`) + ', want ' + string(`+total+`)`),
		value("rules", "has(x.timeout) && x.timeout == '0s' && !has(x.streamIdleTimeout) && !has(x.redirect) && !has(x.respond)", rule+".timeout",
			quote("timeout 0s is none: a request that hangs would hold its resources for ever"),
			quote("write streamIdleTimeout beside it, or a timeout")),
		value("rules", "has(x.match) && x.match.exists(m, has(m.grpc) && (has(m.path) || has(m.methods)))", rule+".match",
			"x.match.exists(m, has(m.grpc) && has(m.path)) ? 'path stands beside grpc: gRPC\\'s path follows from service and method' : 'methods stands beside grpc: gRPC is always POST'", ""),
		value("rules", "has(x.requestHeaders) && has(x.requestHeaders.set) && x.requestHeaders.set.exists(h, h in ["+framing+"])", rule+".requestHeaders.set",
			"'header ' + ["+framing+"].filter(h, h in x.requestHeaders.set)[0] + ' belongs to the connection and is the proxy\\'s own'", ""),
		value("rules", "has(x.cors) && has(x.cors.allowCredentials) && x.cors.allowCredentials && has(x.cors.allowOrigins) && "+
			"x.cors.allowOrigins.exists(o, has(o.exact) && o.exact == '*')", rule+".cors.allowOrigins",
			`'origin "*" matches every site, and allowCredentials lets each of them read answers with the user\'s cookies: list the origins'`, ""),
	}
}

const (
	sum     = "x.to.map(d, d.weight).sum()"
	total   = "(has(x.totalWeight) ? x.totalWeight : 100)"
	framing = "'connection', 'content-length', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'"
)

func access() []Rule {
	var out []Rule
	for _, side := range [][2]string{{"from", "anyone"}, {"to", "anything"}} {
		out = append(out, value("allow", "!has(x."+side[0]+")", "spec.allow[%s]",
			`'allow entry "' + x.name + '" has no `+side[0]+`'`,
			quote("write "+side[0]+", or "+side[0]+": {"+side[1]+": true} if you mean everything")))
	}
	callers := anyOf("x.from", "serviceAccounts", "namespaces", "principals", "ipBlocks", "remoteIpBlocks", "jwt", "meshed")
	requests := anyOf("x.to", "ports", "methods", "paths", "hosts", "headers")
	const alone = " stands beside other fields, which it would make meaningless: remove one or the other"
	const whole = " would take away the whole rule: remove the rule, or name what is excepted"
	return append(out,
		value("entries", "has(x.from) && has(x.from.anyone) && "+callers, "spec (entry %s).from.anyone", quote("anyone"+alone), ""),
		value("entries", "has(x.to) && has(x.to.anything) && "+requests, "spec (entry %s).to.anything", quote("anything"+alone), ""),
		value("entries", "has(x.except) && has(x.except.from) && has(x.except.from.anyone)", "spec (entry %s).except.from", quote("except anyone"+whole), ""),
		value("entries", "has(x.except) && has(x.except.to) && has(x.except.to.anything)", "spec (entry %s).except.to", quote("except anything"+whole), ""),
		unsupported("entries", "has(x.from) && has(x.from.jwt)", "spec (entry %s).from.jwt", quote("field jwt is not supported yet"), quote(noEffect)),
		absent("", "spec", "custom", noEffect),
		absent("", "spec", "rego", "write deny entries"),
		absent("", "spec", "gateway", noEffect),
	)
}

const (
	permissive    = "mode permissive has no expires: it takes plaintext from anyone and is for a migration only"
	permissiveFix = "write expires: with the day by which it must be strict"
)

func authentication() []Rule {
	return []Rule{
		value("", "has(x.spec.mtls) && has(x.spec.mtls.mode) && x.spec.mtls.mode == 'permissive' && !has(x.spec.mtls.expires)", "spec.mtls.mode", quote(permissive), quote(permissiveFix)),
		value("ports", "x.mode == 'permissive' && !has(x.expires)", "spec.mtls.ports[%s].mode", quote(permissive), quote(permissiveFix)),
		absent("", "spec", "jwt", noEffect),
		absent("", "spec", "gateway", noEffect),
	}
}

func mesh() []Rule {
	return []Rule{
		value("", "has(x.spec.access) && has(x.spec.access.default) && x.spec.access.default == 'allow' && !has(x.spec.access.expires)", "spec.access.default",
			quote("the mesh is open without an end"), quote("write expires: with the day by which every namespace has access policies")),
		value("namespaces", "x.default == 'allow' && !has(x.expires)", "spec.access.namespaces[%s].default",
			"'namespace ' + x.name + ' is open without an end'", quote("write expires: with the day by which it has access policies")),
		value("", "has(x.spec.mtls) && x.spec.mtls.mode == 'permissive' && !has(x.spec.mtls.expires)", "spec.mtls.mode", quote(permissive), quote(permissiveFix)),
		provider("authorizers"),
	}
}

func provider(field string) Rule {
	return unsupported("", "has(x.spec.providers) && has(x.spec.providers."+field+")", "spec.providers."+field,
		quote("field "+field+" is not supported yet"), quote(noEffect))
}
