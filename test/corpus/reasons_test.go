package corpus

import (
	"regexp"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// reason says why errors of a code, with a message and perhaps in a file of some
// kind, are true. The first that fits is taken.
type reason struct {
	code    diag.Code
	message string // an expression that the message has
	file    string // likewise, "" for any
	why     string
}

func (e *reason) explains(d *diag.Diagnostic) bool {
	return e.code == d.Code &&
		regexp.MustCompile(e.message).MatchString(d.Message) &&
		regexp.MustCompile(e.file).MatchString(d.Span.File)
}

var reasons = []reason{
	{"unsupported", `^gateways are not supported yet`, ``,
		"the VirtualService is bound to an ingress or egress gateway alone, and no sidecar takes its routes"},
	{"unsupported", `^field targetRefs? is `, ``,
		"the policy is attached to a gateway, waypoint or service by reference, which is not supported yet"},
	{"unsupported", `^field (notR|r)equestPrincipals is |request\.auth\.|claims of a token`, ``,
		"the rule asks who signed a token; tokens are not verified yet, and without the condition the rule would say something else"},
	{"unsupported", `^action CUSTOM `, ``,
		"the decision is an external authorizer's, which is not supported yet"},
	{"unsupported", `istio\.io/dry-run`, ``,
		"the policy is only to be logged, which is not supported; enforcing it would refuse requests"},
	{"unsupported", `^field (tls|tcp) is `, ``,
		"routes of connections in a VirtualService (tls, tcp) are not supported yet"},
	{"unsupported", `^sni is not supported`, ``,
		"the server name of mutual TLS within the mesh is ours to choose; this one is for an egress gateway"},
	{"unsupported", `^field credentialName is `, ``,
		"the proxy would present a Kubernetes secret to an outside host, which is not supported"},
	{"unsupported", `^field workloadSelector is `, ``,
		"a DestinationRule for some clients alone is not supported"},
	{"unsupported", `^field (distribute|failover) is `, ``,
		"balancing by locality is not supported yet"},
	{"unsupported", `^field delegate is `, ``,
		"VirtualServices that include each other are not supported"},
	{"value", `^the VirtualService has no hosts`, `fluxcd__flagger`,
		"it is the delegate of another VirtualService, and delegates are not supported"},
	{"value", `^the VirtualService has no (hosts|http rules)`, `Aias00__istio\.io`,
		"the documentation leaves out a part of the document, without which Istio refuses it as well"},
	{"value", `\$[A-Z_]+`, ``,
		"a shell variable that the text tells the reader to fill in"},
	{"placeholder", `^\$\{[A-Z_]+\} has no value`, ``,
		"a variable that envsubst or the reader fills in before the document is applied; its value is not known here"},
	{"metadata", `^name "myapp-\.\.\."`, ``,
		"three dots in the documentation stand for more documents of the kind"},
	{"metadata", `^this Telemetry has no metadata\.name`, ``,
		"the documentation shows a part of the object, which no cluster would take"},
	{"duplicatekey", `apiVersion stands twice`, ``,
		"two objects without a line --- between them: the YAML has every key twice, and Kubernetes would take the last of each"},
	{"schema", `^(source|operation) is null|^unknown field (namespaces|methods)`, `ist0166`,
		"the members of source and operation are not indented, so that they stand beside them: the rule matches everything"},
	{"routeshadow", ``, ``,
		"two rules without a condition, or with the same one: the second takes no request"},
	{"retrymethods", ``, ``,
		"the rule repeats requests of any method after an answer of the upstream, which may have acted on the first"},
	{"duplicatehost", `^service .* already has the route`, `ist0109`,
		"the documentation shows two VirtualServices for one host as the error that Istio reports too (IST0109)"},
	{"duplicatehost", `^service .* already has the route`, ``,
		"the directory holds several VirtualServices for the host, to be tried one after the other"},
	{"duplicateobject", ` is declared twice`, ``,
		"the directory holds several variants of the object, of which one is applied"},
	{"unknowndestination", `"dest\.default\.cluster\.local"`, ``,
		"the host lacks .svc, and names no service of the cluster"},
	{"unknowndestination", `"(httpbin\.org|www\.googleapis\.com)"`, ``,
		"the ServiceEntry that declares the host is of a kind that is not supported"},
	{"unknowndestination", ``, `docs/Aias00__istio\.io`,
		"the documentation takes the service from another page or repository, and no Service here declares it"},
	{"unknowndestination", ``, `support/istio__istio`,
		"the service belongs to what Istio's installation adds; no Service here declares it"},
	{"mtlsconflict", `^clients are told to use the mesh's TLS`, ``,
		"the workloads of the service are elsewhere, and whose certificate clients should accept is said nowhere"},
	{"selectsnothing", ``, ``,
		"the workloads that the DENY should protect are not in the repository, though it has others"},
}
