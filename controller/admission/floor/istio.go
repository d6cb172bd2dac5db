package floor

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/istio"
)

var (
	networking = []string{"v1", "v1alpha3", "v1beta1"}
	security   = []string{"v1", "v1beta1"}
)

func istios() []Policy {
	return []Policy{
		{
			Kinds: []Kind{{"networking.istio.io", "VirtualService", "virtualservices", networking}},
			Lists: map[string]string{"http": "has(object.spec) ? " + list("object.spec", "http") + " : []"},
			Rules: virtualServices(),
		},
		{Kinds: []Kind{{"networking.istio.io", "DestinationRule", "destinationrules", networking}}, Rules: destinationRules()},
		{
			Kinds: []Kind{{"security.istio.io", "AuthorizationPolicy", "authorizationpolicies", security}},
			Lists: map[string]string{"rules": "has(object.spec) ? " + list("object.spec", "rules") + " : []"},
			Rules: authorizations(),
		},
		untranslated(),
	}
}

// filled says that x has a list with items.
func filled(of, field string) string {
	return "(has(" + of + "." + field + ") && " + of + "." + field + ".size() > 0)"
}

func virtualServices() []Rule {
	const rule = "spec.http[%s]"
	route := filled("x", "route")
	const (
		mesh  = "(!has(x.spec.gateways) || x.spec.gateways.size() == 0 || 'mesh' in x.spec.gateways)"
		split = "has(x.route) && x.route.size() > 1 && !x.route.exists(d, has(d.weight) && d.weight > 0)"
	)
	answers := "(has(x.redirect) || has(x.directResponse))"
	return []Rule{
		value("", "has(x.spec) && "+filled("x.spec", "hosts")+" && '*' in x.spec.hosts && "+mesh, "spec.hosts",
			quote("host * is not allowed for sidecars: it would take the requests to every service"),
			quote("name the services, or bind the route to a gateway only")),
		value("", "!has(x.spec) || !"+filled("x.spec", "http")+" && !has(x.spec.tls) && !has(x.spec.tcp)", "spec.http", quote("the VirtualService has no http rules"), ""),
		unsupported("", "has(x.spec) && "+filled("x.spec", "tls")+" && "+mesh, "spec.tls", quote("tls rules are supported at gateways, and not yet for sidecars"),
			quote("bind the route to gateways only: sidecars send TLS to the service itself")),
		unsupported("", "has(x.spec) && has(x.spec.tcp) && x.spec.tcp.exists(t, has(t.match) && t.match.exists(m, has(m.sourceSubnet)))", "spec.tcp",
			quote("field sourceSubnet is not supported"), quote("remove it: Istio ignores it")),
		value("http", "(has(x.redirect) && has(x.directResponse)) || ("+route+" && "+answers+")", rule, route+" ? (has(x.redirect) ? 'redirect' : 'directResponse') + ' stands beside route: a rule does one of them' : 'directResponse stands beside redirect: a rule does one of them'", ""),
		value("http", "!"+route+" && !has(x.redirect) && !has(x.directResponse) && !has(x.delegate)", rule, quote("the rule has no route, redirect or directResponse"), ""),
		value("http", split, rule+".route", "'the weights of the ' + string(x.route.size()) + ' destinations add up to 0'", ""),
		value("http", "!"+route+" && has(x.redirect) != has(x.directResponse) && (has(x.fault) || has(x.rewrite))", rule,
			"(has(x.fault) ? 'fault' : 'rewrite') + ' stands beside ' + (has(x.redirect) ? 'redirect' : 'directResponse') + ': the request is not sent on'", ""),
		value("http", "has(x.route) && x.route.exists(d, has(d.destination) && has(d.destination.host) && d.destination.host.startsWith('*'))", rule+".route",
			`'destination host "' + x.route.filter(d, has(d.destination) && has(d.destination.host) && d.destination.host.startsWith('*'))[0].destination.host + '": a wildcard names no single host'`, ""),
		value("http", "has(x.retries) && (!has(x.retries.attempts) || x.retries.attempts == 0) && (has(x.retries.perTryTimeout) || (has(x.retries.retryOn) && x.retries.retryOn != ''))", rule+".retries",
			quote("retries are described, and attempts is 0, which switches them off"),
			quote("write attempts: with the number of repetitions, or attempts: 0 alone")),
	}
}

func destinationRules() []Rule {
	return []Rule{
		value("", "!has(x.spec) || !has(x.spec.host) || x.spec.host == ''", "spec.host", quote("the DestinationRule has no host"), ""),
		unsupported("", "has(x.spec) && has(x.spec.host) && x.spec.host.startsWith('*')", "spec.host",
			`'host "' + x.spec.host + '": a DestinationRule for many hosts is not supported'`,
			quote("write one DestinationRule for each service; mutual TLS within the mesh needs none")),
		unsupported("", "has(x.spec) && has(x.spec.workloadSelector)", "spec.workloadSelector", quote("field workloadSelector is not supported"),
			quote("leave it out: the settings hold for every client")),
	}
}

func authorizations() []Rule {
	const action = "has(x.spec) && has(x.spec.action) && x.spec.action == "
	empty := func(key string) Rule {
		return value("rules", "has(x."+key+") && x."+key+".size() == 0", "spec.rules[%s]."+key, quote(key+" is an empty list: leave it out for everything"), "")
	}
	without := func(key, inner string) Rule {
		return value("rules", "has(x."+key+") && x."+key+".exists(e, !has(e."+inner+"))", "spec.rules[%s]."+key, quote("the entry has no "+inner), "")
	}
	return []Rule{
		value("", action+"'DENY' && !"+filled("x.spec", "rules"), "spec.rules", quote("a DENY policy without rules denies nothing"), quote("write rules: [{}] to deny everything")),
		unsupported("", action+"'CUSTOM'", "spec.action", quote("action CUSTOM asks an external authorizer, which is not supported yet"), quote("write ALLOW or DENY rules")),
		value("", "has(x.spec) && has(x.spec.provider) && (!has(x.spec.action) || x.spec.action != 'CUSTOM')", "spec.provider", quote("provider has no meaning without action CUSTOM"), ""),
		unsupported("", "has(x.metadata.annotations) && 'istio.io/dry-run' in x.metadata.annotations && x.metadata.annotations['istio.io/dry-run'] == 'true'", "metadata.annotations",
			quote("the annotation istio.io/dry-run is not supported: the policy would be enforced"),
			quote("write action: AUDIT, which logs what it matches, or remove the annotation")),
		empty("from"), empty("to"),
		without("from", "source"), without("to", "operation"),
	}
}

// untranslated are the kinds of Istio that the compiler refuses whole.
func untranslated() Policy {
	p := Policy{Kinds: []Kind{
		{"networking.istio.io", "EnvoyFilter", "envoyfilters", []string{"v1alpha3"}},
		{"networking.istio.io", "ProxyConfig", "proxyconfigs", []string{"v1beta1"}},
		{"networking.istio.io", "Sidecar", "sidecars", networking},
		{"networking.istio.io", "WorkloadEntry", "workloadentries", networking},
		{"networking.istio.io", "WorkloadGroup", "workloadgroups", networking},
		{"security.istio.io", "RequestAuthentication", "requestauthentications", security},
		{"extensions.istio.io", "TrafficExtension", "trafficextensions", []string{"v1alpha1"}},
		{"extensions.istio.io", "WasmPlugin", "wasmplugins", []string{"v1alpha1"}},
	}}
	var fixes []string
	for _, k := range p.Kinds {
		fixes = append(fixes, quote(k.Kind)+": "+quoted(istio.Instead(k.Kind)))
	}
	p.Rules = []Rule{unsupported("", "true", "kind", "'kind ' + object.kind + ' of ' + object.apiVersion + ' is not supported'", "{"+strings.Join(fixes, ", ")+"}[object.kind]")}
	return p
}
