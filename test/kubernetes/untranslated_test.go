package kubernetes

import (
	"context"
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
	"github.com/mesh-compile/mesh-compile/test/parity"
)

// udpRouteCRD stands for the Gateway API's, which no module that builds here has: of a
// kind without a translator nothing but its name is read.
const udpRouteCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: udproutes.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: "unapproved, for a test"}
spec:
  group: gateway.networking.k8s.io
  names: {kind: UDPRoute, listKind: UDPRouteList, plural: udproutes, singular: udproute}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

const (
	udpRoute = `apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: edge, namespace: %s}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: catalog, port: 8080}]}]}
`
	requestAuthentication = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: %s}
spec: {jwtRules: [{issuer: id.example, jwksUri: "https://id.example/keys"}]}
`
	envoyFilter = `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: filter, namespace: %s}
spec: {configPatches: []}
`
)

// untranslatedRefused: the webhook refuses kinds without a translator in lint's words,
// also one whose CRD comes while it runs.
func (w *world) untranslatedRefused() {
	w.cluster.Apply(w.t, udpRouteCRD)
	for _, text := range []string{requestAuthentication, envoyFilter, udpRoute} {
		text = fmt.Sprintf(text, "shop")
		said := ""
		for _, d := range parity.Lint([]parity.Document{{Text: text}}) {
			if d.Code == translate.CodeUnsupported {
				said = d.Message + " [unsupported]\n  fix: " + d.Fix.Message
			}
		}
		if said == "" {
			w.t.Fatalf("lint takes\n%s", text)
		}
		w.until(func(context.Context) error {
			out, err := w.cluster.TryApply(w.t, text, "--dry-run=server")
			if err == nil || !strings.Contains(out, said) {
				return fmt.Errorf("want it refused with %q: %v\n%s", said, err, out)
			}
			return nil
		})
	}
}

// untranslated: where the webhook does not run and the floor does not refuse, a kind that
// restricts nothing is named and left out alone, and one that may refuse requests holds
// its namespace.
func (w *world) untranslated() {
	w.cluster.Apply(w.t, udpRouteCRD)
	w.cluster.InstallCRDs(w.t, "istio.yaml")
	w.cluster.Apply(w.t, fmt.Sprintf(udpRoute, "team"))
	q := w.quarantined("UDPRoute team/edge")
	if q.InForce != "" || !strings.Contains(q.Message, "kind UDPRoute of gateway.networking.k8s.io/v1 is not supported [unsupported]") {
		w.t.Errorf("the status says %+v", q)
	}
	w.until(func(context.Context) error {
		out, err := w.cluster.TryKubectl(w.t, "", "-n", "team", "get", "events", "--field-selector", "involvedObject.kind=UDPRoute,reason=Quarantined")
		if err == nil && !strings.Contains(out, "is not supported [unsupported]") {
			err = fmt.Errorf("events of the UDPRoute are\n%s", out)
		}
		return err
	})
	w.cluster.Apply(w.t, fmt.Sprintf(teamRoute, "offers")+"    timeout: 5s\n")
	w.condition("meshroute", "team", "team", "True")

	w.cluster.Kubectl(w.t, "label", "namespace", "team", webhook.ModeLabel+"="+webhook.Audit)
	w.until(func(context.Context) error { // the floor follows labels by a watch
		out, err := w.cluster.TryApply(w.t, fmt.Sprintf(requestAuthentication, "team"))
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	w.quarantined("RequestAuthentication team/tokens")
	w.cluster.Apply(w.t, fmt.Sprintf(teamRoute, "offers")+"    timeout: 6s\n")
	w.condition("meshroute", "team", "team", "False")
	w.cluster.Kubectl(w.t, "-n", "team", "delete", "requestauthentication/tokens", "udproute/edge")
	w.condition("meshroute", "team", "team", "True")
	w.nothingQuarantined()
}
