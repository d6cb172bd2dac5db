package istio

// natively says what to write instead of a kind that is not translated.
var natively = map[string]string{
	"WorkloadEntry":         "write a MeshWorkload with its endpoints for a workload of the mesh, and the endpoints of a ServiceEntry for others",
	"WorkloadGroup":         "write a MeshWorkload with its endpoints",
	"Sidecar":               "write a MeshWorkload with uses (what it may call) and egress",
	"EnvoyFilter":           "there is no raw Envoy configuration: retries, timeouts, faults, headers, CORS and circuit breaking are fields of MeshRoute and TrafficPolicy, access is AccessPolicy; a filter of your own has no native way",
	"ProxyConfig":           "remove it: a release configures a proxy that runs already; concurrency is the agent's --concurrency, environmentVariables are those with which the agent is started, image is whichever Envoy the agent's --envoy names",
	"RequestAuthentication": "tokens are not verified yet; remove it together with the policies that ask for claims",
	"WasmPlugin":            "remove it: there is no native way to run code of your own in the proxies",
	"TrafficExtension":      "remove it: there is no native way to run code of your own in the proxies",
}

// Instead says what to write instead of a kind of Istio's that has no
// translator, "" where nothing is known of it.
func Instead(kind string) string { return natively[kind] }
