package linkerd

//go:generate go test -count=1 -run ^TestReference$ . -update

import (
	"strings"
)

// field says what becomes of a field, and what it holds: "string", "integer",
// "number", "boolean", "port" (a string or number), "labels" (an object of strings),
// "any" where the translator judges it, or the name of an object in the table; in front of it "[]" for a list.
type field struct {
	holds    string
	required bool
	// refuses is set where the field is not implemented: what to do instead. An
	// empty list is accepted, since it says nothing.
	refuses string
}

// fields has every object of the CRDs that a supported kind can reach through
// fields that are read. A field that Linkerd adds is unknown until it stands here;
// a test compares the table with the list of the CRDs' fields.
var fields = map[string]map[string]field{
	"Server": {
		"podSelector": is("Selector"), "port": must("port"), "proxyProtocol": is("string"), "accessPolicy": is("string"),
		"externalWorkloadSelector": not("write podSelector: a workload outside Kubernetes is a native MeshWorkload, which it selects by labels"),
	},
	"Selector":        {"matchLabels": is("labels"), "matchExpressions": is("[]LabelExpression")},
	"LabelExpression": {"key": must("string"), "operator": must("string"), "values": is("[]string")},

	"ServerAuthorization":        {"server": must("ServerAuthorization.server"), "client": must("ServerAuthorization.client")},
	"ServerAuthorization.server": {"name": is("string"), "selector": is("Selector")},
	"ServerAuthorization.client": {"networks": is("[]Network"), "unauthenticated": is("boolean"), "meshTLS": is("MeshTLS")},
	"MeshTLS": {
		"identities": is("[]string"), "serviceAccounts": is("[]ServiceAccount"),
		"unauthenticatedTLS": not("write identities: [\"*\"] for every client with an identity, or unauthenticated: true: there is no TLS without one"),
	},
	"ServiceAccount": {"name": must("string"), "namespace": is("string")},
	"Network":        {"cidr": must("string"), "except": is("[]string")},

	"AuthorizationPolicy":   {"targetRef": must("LocalRef"), "requiredAuthenticationRefs": must("[]NamespacedRef")},
	"LocalRef":              {"group": is("string"), "kind": must("string"), "name": must("string")},
	"NamespacedRef":         {"group": is("string"), "kind": must("string"), "name": must("string"), "namespace": is("string")},
	"MeshTLSAuthentication": {"identities": is("[]string"), "identityRefs": is("[]IdentityRef")},
	"IdentityRef":           {"group": is("string"), "kind": must("string"), "name": is("string"), "namespace": is("string")},
	"NetworkAuthentication": {"networks": must("[]Network")},

	"ServiceProfile": {
		"routes": is("[]ServiceProfile.route"), "retryBudget": is("RetryBudget"), "dstOverrides": is("[]WeightedDst"),
		"opaquePorts": not("write the annotation config.linkerd.io/opaque-ports on the Service"),
	},
	"ServiceProfile.route": {
		"name": must("string"), "condition": must("RequestMatch"), "timeout": is("string"), "isRetryable": is("boolean"),
		"responseClasses": is("[]any"),
	},
	"RequestMatch": {
		"pathRegex": is("string"), "method": is("string"), "all": is("[]RequestMatch"), "any": is("[]RequestMatch"), "not": is("any"),
	},
	"RetryBudget": {"retryRatio": must("number"), "minRetriesPerSecond": must("integer"), "ttl": must("string")},
	"WeightedDst": {"authority": must("string"), "weight": must("port")},
}

func is(holds string) field    { return field{holds: holds} }
func must(holds string) field  { return field{holds: holds, required: true} }
func not(instead string) field { return field{refuses: instead} }

// item is what a list's items hold.
func (f field) item() (holds string, list bool) { return strings.CutPrefix(f.holds, "[]") }

func below(f field) map[string]field {
	holds, _ := f.item()
	return fields[holds]
}
