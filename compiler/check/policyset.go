package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// policySet is the traffic policies of one service, merged.
type policySet struct {
	dialect  mesh.Dialect // "": no policy
	docs     []*mesh.TrafficPolicy
	settings mesh.TrafficSettings
	ports    []mesh.PortPolicy
	versions []*mesh.VersionPolicy
}

// policies attaches traffic policies to the services that they are about.
func (c *checker) policies() {
	for _, doc := range c.in.TrafficPolicies {
		c.of(doc, func() { c.policyTarget(doc) })
	}
	for _, s := range c.names.sites {
		c.policiesOf(s)
	}
}

func (c *checker) policyTarget(doc *mesh.TrafficPolicy) {
	if s := c.names.find(doc.Target, doc.Namespace); s != nil {
		s.policies = append(s.policies, doc)
	} else {
		c.unknownTarget(doc.Origin, doc.Target, doc.Namespace)
	}
}

// policiesOf decides what the policies of a service say.
func (c *checker) policiesOf(s *site) {
	for _, doc := range s.policies {
		s.checkPolicyPorts(doc)
		s.checkPolicyProtocol(doc)
		c.mayRule(&s.diags, doc.Origin, doc.Target, s)
	}
	s.policy.docs = s.policies
	c.merge(s)
	c.findVersions(s)
}

// checkPolicyPorts reports settings for ports that the service does not have:
// they would change nothing.
func (s *site) checkPolicyPorts(doc *mesh.TrafficPolicy) {
	ports := doc.Ports
	for i := range doc.Versions {
		ports = slices.Concat(ports, doc.Versions[i].Ports)
	}
	for _, p := range ports {
		if s.port(p.Port) == nil {
			s.missingPort(&s.diags, doc.Origin, p.Span, p.Port)
		}
	}
}

// missingPort reports a document about a port that the service does not have.
// Istio accepts that; its documents are often shared by clusters that differ.
func (s *site) missingPort(l *diag.List, o mesh.Origin, at source.Span, port uint32) {
	severity := diag.Error
	if o.Dialect == mesh.Istio {
		severity = diag.Warning
	}
	report(l, o, diag.Diagnostic{
		Code: PortMismatch, Severity: severity, Span: at,
		Message: fmt.Sprintf("service %s has no port %d; it has %s", s.key, port, s.portList()),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
	})
}

// merge makes one policy of several. Native documents are one per service.
// Istio merges DestinationRules of one namespace, the first top-level policy
// and the first subset of a name winning; of different namespaces it takes the
// client's, then the service's: one backend serves all clients here, so the
// service's own namespace wins and the rest is reported.
func (c *checker) merge(s *site) {
	if len(s.policy.docs) == 0 {
		return
	}
	first := s.policy.docs[0]
	for _, doc := range s.policy.docs {
		if preferred(doc, s) > preferred(first, s) {
			first = doc
		}
	}
	s.policy.take(first)
	for _, doc := range s.policy.docs {
		if doc != first {
			s.mergeOne(first, doc)
		}
	}
}

// preferred ranks documents about one service: native, then the service's
// namespace, then the order of names.
func preferred(doc *mesh.TrafficPolicy, s *site) int {
	rank := 0
	if doc.Dialect == mesh.Native {
		rank += 2
	}
	if doc.Namespace == s.ns {
		rank++
	}
	return rank
}

func (s *site) mergeOne(first, doc *mesh.TrafficPolicy) {
	d := diag.Diagnostic{
		Code: DuplicatePolicy, Severity: diag.Error,
		Message: fmt.Sprintf("service %s already has %s", s.key, first.Object()),
		Related: []diag.Related{{Span: first.Span, Message: "the first, which is used"}},
		Fix:     &diag.Fix{Message: "make one document of the two"},
	}
	if first.Dialect == mesh.Istio && doc.Dialect == mesh.Istio {
		d.Severity = diag.Warning
		d.Message += "; this one is ignored, although Istio would take it for clients of its own namespace"
		if first.Namespace == doc.Namespace {
			d.Message = fmt.Sprintf("service %s already has %s; Istio merges them: the first top-level policy and the first subset of each name win", s.key, first.Object())
			s.policy.add(doc)
		}
	}
	report(&s.diags, doc.Origin, d)
}

// take makes doc the policy.
func (p *policySet) take(doc *mesh.TrafficPolicy) {
	p.dialect, p.settings, p.ports = doc.Dialect, doc.TrafficSettings, doc.Ports
	for i := range doc.Versions {
		p.addVersion(&doc.Versions[i])
	}
}

// add merges a further DestinationRule.
func (p *policySet) add(doc *mesh.TrafficPolicy) {
	if p.settings == (mesh.TrafficSettings{}) && len(p.ports) == 0 {
		p.settings, p.ports = doc.TrafficSettings, doc.Ports
	}
	for i := range doc.Versions {
		p.addVersion(&doc.Versions[i])
	}
}

func (p *policySet) addVersion(v *mesh.VersionPolicy) {
	for _, have := range p.versions {
		if have.Name == v.Name {
			return
		}
	}
	p.versions = append(p.versions, v)
}

// effective is what holds for a port and a version.
func (p *policySet) effective(port uint32, v *mesh.VersionPolicy) mesh.TrafficSettings {
	out := p.settings
	if at := portPolicy(p.ports, port); at != nil {
		out = p.onPort(out, at.TrafficSettings)
	}
	if v == nil {
		return out
	}
	at := portPolicy(v.Ports, port)
	if at != nil && p.dialect == mesh.Istio {
		return p.onPort(out, at.TrafficSettings)
	}
	out = override(out, v.TrafficSettings)
	if at != nil {
		out = override(out, at.TrafficSettings)
	}
	return out
}

// onPort applies a port's settings. Natively fields that are set replace; in
// Istio a port's settings stand for all four fields that they could have set,
// also where they set none (cluster_traffic_policy.go, portLevelSettings).
func (p *policySet) onPort(base, port mesh.TrafficSettings) mesh.TrafficSettings {
	if p.dialect == mesh.Istio {
		base.LoadBalancing, base.Connections, base.CircuitBreaker = nil, nil, nil
		base.OutlierDetection, base.TLS = nil, nil
	}
	return override(base, port)
}

func portPolicy(ports []mesh.PortPolicy, port uint32) *mesh.PortPolicy {
	for i := range ports {
		if ports[i].Port == port {
			return &ports[i]
		}
	}
	return nil
}

// override replaces whole fields.
func override(base, by mesh.TrafficSettings) mesh.TrafficSettings {
	replace(&base.LoadBalancing, by.LoadBalancing)
	replace(&base.Connections, by.Connections)
	replace(&base.CircuitBreaker, by.CircuitBreaker)
	replace(&base.OutlierDetection, by.OutlierDetection)
	replace(&base.RetryBudget, by.RetryBudget)
	replace(&base.Fallback, by.Fallback)
	replace(&base.TLS, by.TLS)
	return base
}

func replace[T any](field **T, by *T) {
	if by != nil {
		*field = by
	}
}
