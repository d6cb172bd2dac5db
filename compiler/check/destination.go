package check

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// destinations resolves where a rule sends requests. What cannot be resolved is
// reported and left out.
func (c *checker) destinations(at *location, doc *mesh.Rule) []Destination {
	written := doc.To
	if len(written) == 0 {
		written = []mesh.Destination{{Span: doc.Span}}
	}
	weights, _ := weights(at.dialect(), doc) // what is wrong is reported once for the document
	var out []Destination
	for i := range written {
		d := &written[i]
		backend := c.backendOf(at, d)
		if backend == nil || weights == nil || weights[i] == 0 {
			continue
		}
		out = append(out, Destination{
			Backend: backend, Weight: weights[i], Span: d.Span,
			RequestHeaders: d.RequestHeaders, ResponseHeaders: d.ResponseHeaders,
		})
	}
	if len(out) == 1 {
		out[0].Weight = 1
	}
	return out
}

func (c *checker) mirrors(at *location, doc *mesh.Rule) []MirrorTo {
	var out []MirrorTo
	for i := range doc.Mirrors {
		m := &doc.Mirrors[i]
		if backend := c.backendOf(at, &m.Destination); backend != nil {
			out = append(out, MirrorTo{Backend: backend, Percent: m.Percent})
		}
	}
	return out
}

// checkWeights reports wrong shares in a document, whether or not a port of a service
// comes to use them: no other object makes them right.
func checkWeights(l *diag.List, doc *mesh.Route) {
	for _, rule := range slices.Concat(doc.Rules, doc.Connections) {
		if rule.Redirect != nil || rule.Respond != nil {
			continue
		}
		if _, wrong := weights(doc.Dialect, rule); wrong != nil {
			report(l, doc.Origin, *wrong)
		}
	}
}

// weights are the shares of a rule's destinations, or what is wrong with them; neither,
// if that is reported. Native weights add up to the total; others are relative, and
// Istio's single one means everything, also when it is 0.
func weights(dialect mesh.Dialect, doc *mesh.Rule) ([]uint32, *diag.Diagnostic) {
	to, native := doc.To, dialect == mesh.Native
	if len(to) == 0 || len(to) == 1 && (!to[0].HasWeight || dialect == mesh.Istio) {
		return []uint32{1}, nil
	}
	if slices.ContainsFunc(to, func(d mesh.Destination) bool { return d.FaultyWeight }) {
		return nil, nil
	}
	out := make([]uint32, len(to))
	var sum uint64
	for i := range to {
		if native && !to[i].HasWeight {
			return nil, weightError(doc, to[i].Span, fmt.Sprintf("one of the %d destinations of rule %q has no weight", len(to), doc.Name))
		}
		out[i] = to[i].Weight
		if !native && !to[i].HasWeight && dialect != mesh.Istio {
			out[i] = 1 // Gateway API: absent is 1
		}
		sum += uint64(out[i])
	}
	if wrong := checkSum(doc, sum, native); wrong != nil {
		return nil, wrong
	}
	return out, nil
}

func checkSum(doc *mesh.Rule, sum uint64, native bool) *diag.Diagnostic {
	total := uint64(doc.TotalWeight)
	if total == 0 {
		total = 100
	}
	switch {
	case sum > math.MaxUint32: // Envoy: WeightedCluster, sum of weights
		return weightError(doc, doc.Span, fmt.Sprintf("the weights of rule %q sum to %d, more than Envoy's 4294967295", doc.Name, sum))
	case native && sum != total:
		return weightError(doc, doc.Span, fmt.Sprintf("the weights of rule %q sum to %d, want %d", doc.Name, sum, total))
	case sum == 0:
		return weightError(doc, doc.Span, fmt.Sprintf("the weights of rule %q are all 0: no destination is left", doc.Name))
	}
	return nil
}

func weightError(doc *mesh.Rule, span source.Span, message string) *diag.Diagnostic {
	d := &diag.Diagnostic{Code: Weights, Severity: diag.Error, Span: span, Message: message}
	for i := range doc.To {
		said := "no weight"
		if doc.To[i].HasWeight {
			said = "weight " + strconv.FormatUint(uint64(doc.To[i].Weight), 10)
		}
		d.Related = append(d.Related, diag.Related{Span: doc.To[i].Span, Message: said})
	}
	return d
}

// backendOf resolves one destination to a backend, nil where it cannot.
func (c *checker) backendOf(at *location, d *mesh.Destination) *Backend {
	to := at.site
	if d.Service != nil {
		to = c.names.service(*d.Service, at.routing.doc.Namespace)
		if to == nil {
			c.unknownDestination(at, d)
			return nil
		}
		if at.needsGrant(to) && !c.needGrant(at.diags, at.routing.doc.Origin, *d.Service, to) {
			return nil
		}
	}
	number, ok := at.portOf(d, to)
	if !ok {
		return nil
	}
	if d.Version != "" && to.versionFor(at.dialect(), d.Version) == nil && !to.assumes(d.Version) {
		at.unknownVersion(d, to)
		return nil
	}
	return to.svc.Port(number).Backend(d.Version)
}

// needsGrant reports a destination of another namespace that has to agree. A route of
// the Gateway API may always lead to the service that was asked for, which widens
// nobody's reach. GEP-1294 leaves it to the mesh to ask for a ReferenceGrant
// elsewhere, and wants it where a route reaches what its clients would not.
func (at *location) needsGrant(to *site) bool {
	doc := at.routing.doc
	return to.ns != doc.Namespace && (doc.Dialect == mesh.Native || doc.Dialect == mesh.GatewayAPI && to != at.site)
}

func (c *checker) unknownDestination(at *location, d *mesh.Destination) {
	ns := at.routing.doc.Namespace
	at.report(diag.Diagnostic{
		Code: UnknownDestination, Severity: diag.Error, Span: d.Service.Span,
		Message: fmt.Sprintf("destination %s does not exist", spell(*d.Service, ns)),
		Fix:     c.suggestService(*d.Service, ns),
	})
}

// portOf decides the port of a destination: the written one, else that of the
// request, else the only one.
func (at *location) portOf(d *mesh.Destination, to *site) (uint32, bool) {
	number := d.Port
	switch {
	case number != 0:
		if to.port(number) != nil {
			return number, true
		}
	case to.port(at.port.Number) != nil:
		return at.port.Number, true
	case len(to.ports) == 1:
		return to.ports[0].Number, true
	}
	finding := diag.Diagnostic{Code: PortMismatch, Severity: diag.Error, Span: d.PortAt}
	if !finding.Span.IsValid() {
		finding.Span = d.Span
	}
	have := to.portList()
	switch {
	case number != 0:
		finding.Message = fmt.Sprintf("service %s has no port %d; it has %s", to.key, number, have)
	case len(to.ports) == 0:
		finding.Message = fmt.Sprintf("service %s has no port", to.key)
	case at.port.Number == 0:
		finding.Message = fmt.Sprintf("service %s has several ports (%s): write one", to.key, have)
	default:
		finding.Message = fmt.Sprintf("service %s has several ports (%s), none of them %d as asked for: write one", to.key, have, at.port.Number)
	}
	finding.Related = []diag.Related{{Span: to.origin.Span, Message: "the service"}}
	at.report(finding)
	return 0, false
}

func (s *site) portList() string {
	names := make([]string, len(s.ports))
	for i := range s.ports {
		names[i] = strconv.FormatUint(uint64(s.ports[i].Number), 10)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (at *location) unknownVersion(d *mesh.Destination, to *site) {
	finding := diag.Diagnostic{
		Code: UnknownVersion, Severity: diag.Error, Span: d.VersionAt,
		Related: []diag.Related{{Span: to.origin.Span, Message: "the service"}},
	}
	if !finding.Span.IsValid() {
		finding.Span = d.Span
	}
	var known []string
	for _, v := range to.versions {
		if v.policy != nil || at.dialect() != mesh.Istio {
			known = append(known, v.name)
		}
	}
	slices.Sort(known)
	list := "none"
	if len(known) > 0 {
		list = strings.Join(known, ", ")
	}
	if at.dialect() == mesh.Istio {
		finding.Message = fmt.Sprintf("no DestinationRule for %s defines the subset %q; it has %s", to.key, d.Version, list)
	} else {
		finding.Message = fmt.Sprintf("service %s has no version %q; it has %s", to.key, d.Version, list)
	}
	finding.Fix = suggest(d.Version, known)
	at.report(finding)
}
