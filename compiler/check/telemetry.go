package check

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Telemetry is what the proxies of a workload tell of the requests that it sends
// (Client) and of those that it takes (Server).
type Telemetry struct{ Client, Server Reporting }

// Reporting is one side of it.
type Reporting struct {
	Logs    []AccessLog
	Tracing *Tracing // nil: none
}

// AccessLog is one log of every request and connection that its filter passes.
type AccessLog struct {
	Collector *Collector // nil: standard output
	Format    mesh.LogFormat
	Filter    mesh.LogFilter
}

// Tracing sends spans to a collector.
type Tracing struct {
	Collector   *Collector
	Percent     float64
	Tags        []mesh.TracingTag
	Propagation mesh.Propagation
}

// Collector is where proxies report to.
type Collector struct {
	Name    string
	Type    mesh.CollectorType
	Backend *Backend
}

// defaultPercent of the requests are traced, as in Istio, where nobody says.
const defaultPercent = 1

// DefaultReporting holds where no document speaks: everything is logged, and
// nothing is traced.
func DefaultReporting() Reporting {
	return Reporting{Logs: []AccessLog{{Format: mesh.JSONLog}}}
}

// Collectors returns where the workload's proxies report to, each once, by name.
func (w *Workload) Collectors() (out []*Collector) {
	if w.Telemetry == nil {
		return nil
	}
	see := func(c *Collector) {
		if c != nil && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	for _, r := range []*Reporting{&w.Telemetry.Client, &w.Telemetry.Server} {
		for _, l := range r.Logs {
			see(l.Collector)
		}
		if r.Tracing != nil {
			see(r.Tracing.Collector)
		}
	}
	slices.SortFunc(out, func(a, b *Collector) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// telemetry decides what workloads report. It attaches to their values with a
// scope, as gateways do, and is decided anew in each run: what did not change
// keeps its value.
func (c *checker) telemetry() {
	before, said := c.prev.reports, len(c.diags)
	c.reports = map[string]*Telemetry{}
	c.collectors = c.findCollectors()
	attached := make([][]*mesh.Telemetry, len(c.nodes))
	for _, p := range c.in.Telemetries {
		c.checkProviders(p)
		nodes, known := c.targets(p.Origin, &p.Target)
		if known && len(nodes) == 0 {
			c.selectsNothing(p.Origin, p.Target.Span, diag.Warning)
		}
		for _, n := range nodes {
			attached[n.place] = append(attached[n.place], p)
		}
	}
	competing := map[*mesh.Telemetry]bool{}
	together := map[documents]*Telemetry{} // of workloads that no collector is
	own := c.ownCollectors()
	for i, n := range c.nodes {
		docs := c.ranked(n, attached[i], competing)
		t, ok := together[docs]
		if !ok || own[n.key] {
			t = c.known(before, c.said(n, docs))
			if !own[n.key] {
				together[docs] = t
			}
		}
		c.reportFrom(i, t)
	}
	c.now = append(c.now, c.diags[said:]...) // found again in the next run
	c.diags = c.diags[:said]
}

// reportFrom puts the telemetry into the value of a workload.
func (c *checker) reportFrom(i int, t *Telemetry) {
	if c.full[i].Telemetry == t {
		return
	}
	full := *c.full[i]
	full.Telemetry = t
	c.full[i] = &full
}

// known returns the one value of an equal telemetry, that of the run before where
// it sends to the same backends.
func (c *checker) known(before map[string]*Telemetry, t *Telemetry) *Telemetry {
	if t == nil {
		return nil
	}
	e := &encoder{plans: map[reflect.Type][]field{}}
	e.structure(reflect.ValueOf(*t))
	key := e.buf.String()
	if have := c.reports[key]; have != nil {
		return have
	}
	if old := before[key]; old != nil && reflect.DeepEqual(backendsOf(old), backendsOf(t)) {
		t = old
	}
	c.reports[key] = t
	return t
}

// backendsOf are the backends of a telemetry, to be compared by their places in memory.
func backendsOf(t *Telemetry) (out []string) {
	for _, to := range (&Workload{Telemetry: t}).Collectors() {
		out = append(out, fmt.Sprintf("%p", to.Backend))
	}
	return out
}

// findCollectors resolves the collectors of the mesh.
func (c *checker) findCollectors() map[string]*Collector {
	out := map[string]*Collector{}
	if c.set.document == nil {
		return out
	}
	for i := range c.set.document.Collectors {
		doc := &c.set.document.Collectors[i]
		if b := c.collectorBackend(doc); b != nil {
			out[doc.Name] = &Collector{Name: doc.Name, Type: doc.Type, Backend: b}
		}
	}
	return out
}

func (c *checker) collectorBackend(doc *mesh.Collector) *Backend {
	origin := c.set.document.Origin
	s := c.names.service(doc.Service, "")
	if s == nil {
		c.unknownTarget(origin, doc.Service, "")
		return nil
	}
	p := s.svc.Port(doc.Port)
	if p == nil {
		s.missingPort(&c.diags, origin, doc.PortAt, doc.Port)
		return nil
	}
	speaks, want := p.Protocol == mesh.GRPC || p.Protocol == mesh.HTTP2, "grpc or http2"
	if doc.Type == mesh.Zipkin {
		speaks, want = p.Protocol.IsHTTP(), "http"
	}
	if !speaks {
		report(&c.diags, origin, diag.Diagnostic{
			Code: PortMismatch, Severity: diag.Error, Span: doc.PortAt,
			Message: fmt.Sprintf("port %d of service %s is %s, and a collector of type %s speaks %s", p.Number, s.key, p.Protocol, doc.Type, want),
			Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		})
		return nil
	}
	return p.Backend("")
}

// checkProviders reports names that are no provider of the mesh, or not one of the
// kind that is needed.
func (c *checker) checkProviders(p *mesh.Telemetry) {
	for i := range p.Logs {
		for _, ref := range p.Logs[i].Providers {
			if to := c.provider(p.Origin, ref); to != nil && to.Type != mesh.OTLP {
				c.wrongProvider(p.Origin, ref, fmt.Sprintf("provider %s (%s) takes no access logs", ref.Name, to.Type), "write stdout, or a provider of type otlp")
			}
		}
	}
	for i := range p.Tracing {
		t := &p.Tracing[i]
		if t.Provider == nil {
			continue
		}
		if t.Provider.Name == mesh.StandardOutput {
			c.wrongProvider(p.Origin, *t.Provider, "standard output takes no traces", "write a provider of type zipkin or otlp")
			continue
		}
		if to := c.provider(p.Origin, *t.Provider); to != nil {
			c.checkPropagation(p.Origin, t, to)
		}
	}
}

// provider finds a collector and reports what is none; nil for standard output too.
func (c *checker) provider(o mesh.Origin, ref mesh.ProviderRef) *Collector {
	to := c.collectors[ref.Name]
	if to != nil || ref.Name == mesh.StandardOutput || c.opt.AssumeExternal || c.declares(ref.Name) {
		return to // one that is declared wrongly is reported there
	}
	known := append(slices.Sorted(maps.Keys(c.collectors)), mesh.StandardOutput)
	c.wrongProvider(o, ref, fmt.Sprintf("no provider %s: there is %s", ref.Name, strings.Join(known, ", ")),
		"declare it in the Mesh document: spec.providers.telemetry")
	return nil
}

func (c *checker) declares(name string) bool {
	return c.set.document != nil && slices.ContainsFunc(c.set.document.Collectors, func(d mesh.Collector) bool { return d.Name == name })
}

func (c *checker) wrongProvider(o mesh.Origin, ref mesh.ProviderRef, message, fix string) {
	report(&c.diags, o, diag.Diagnostic{
		Code: UnknownDestination, Severity: diag.Error, Span: ref.Span, Message: message, Fix: &diag.Fix{Message: fix},
	})
}

// checkPropagation: Envoy's Zipkin tracer reads and writes B3, and W3C's headers
// besides where it is told so (ZipkinConfig.trace_context_option); its OpenTelemetry
// tracer W3C's alone.
func (c *checker) checkPropagation(o mesh.Origin, t *mesh.Tracing, to *Collector) {
	if t.Propagation == "" || (t.Propagation == mesh.W3C) == (to.Type == mesh.OTLP) {
		return
	}
	want := "b3 or b3-w3c"
	if to.Type == mesh.OTLP {
		want = "w3c"
	}
	report(&c.diags, o, diag.Diagnostic{
		Code: Unsupported, Severity: diag.Error, Span: t.At,
		Message: fmt.Sprintf("Envoy propagates traces of provider %s (%s) by %s, and not by %s", to.Name, to.Type, want, t.Propagation),
		Fix:     &diag.Fix{Message: "write propagation: " + want},
	})
}

// documents are those about a workload: Istio's of the mesh, of its namespace and of
// the workload, then native ones, which win.
type documents [2 * rankWorkload]*mesh.Telemetry

// ranked chooses of each rank the first document by name.
func (c *checker) ranked(n *node, all []*mesh.Telemetry, competing map[*mesh.Telemetry]bool) (out documents) {
	for _, p := range all {
		place := &out[rankOf(&p.Target)-rankMesh]
		if p.Dialect == mesh.Native {
			place = &out[rankWorkload+rankOf(&p.Target)-rankMesh]
		}
		switch {
		case *place == nil:
			*place = p
		case !competing[p]:
			competing[p] = true
			c.competes(n, p, *place)
		}
	}
	return out
}

// ownCollectors are the workloads behind collectors.
func (c *checker) ownCollectors() map[string]bool {
	own := map[string]bool{}
	for _, to := range c.collectors {
		for _, w := range to.Backend.Workloads {
			own[w.key] = true
		}
	}
	return own
}

func (c *checker) competes(n *node, p, first *mesh.Telemetry) {
	report(&c.diags, p.Origin, diag.Diagnostic{
		Code: DuplicatePolicy, Severity: diag.Warning,
		Message: fmt.Sprintf("workload %s already has %s of the same rank, which wins", n.key, first.Object()),
		Related: []diag.Related{{Span: first.Span, Message: "the first"}},
	})
}

// said is what documents say together, nil for the default.
func (c *checker) said(n *node, docs documents) *Telemetry {
	if docs == (documents{}) {
		return nil
	}
	t := &Telemetry{Client: c.reporting(n, docs, mesh.ClientSide), Server: c.reporting(n, docs, mesh.ServerSide)}
	if reflect.DeepEqual(*t, Telemetry{DefaultReporting(), DefaultReporting()}) {
		return nil
	}
	return t
}

// reporting merges Istio's documents entry by entry; a native one replaces a field as
// a whole.
func (c *checker) reporting(n *node, docs documents, side mesh.Side) Reporting {
	out := DefaultReporting()
	var logs []*mesh.Telemetry
	var trace traceState
	for _, p := range docs {
		if p == nil {
			continue
		}
		if len(p.Logs) > 0 {
			if p.Dialect == mesh.Native {
				logs = nil
			}
			logs = append(logs, p)
		}
		if len(p.Tracing) > 0 && p.Dialect == mesh.Native {
			trace = traceState{}
		}
		for i := range p.Tracing {
			trace.add(&p.Tracing[i], side)
		}
	}
	if len(logs) > 0 {
		out.Logs = c.logs(logs, side)
	}
	out.Tracing = c.tracing(&trace)
	c.reportNotToItself(n, &out)
	return out
}

// logs merges entries: an entry without providers is about those of the one before
// it, first of all standard output; the last document that names providers decides
// which there are at all; later entries win. See Istio's Telemetry reference,
// "Scope, Inheritance and Overrides", and pilot/pkg/model/telemetry.go (mergeLogs).
func (c *checker) logs(docs []*mesh.Telemetry, side mesh.Side) (out []AccessLog) {
	there := []string{mesh.StandardOutput}
	for _, p := range docs {
		var named []string
		for i := range p.Logs {
			named = append(named, p.Logs[i].Names()...)
		}
		if len(named) > 0 {
			there = named
		}
	}
	on, last := map[string]*mesh.AccessLogging{}, []string{mesh.StandardOutput}
	for _, p := range docs {
		for i := range p.Logs {
			l := &p.Logs[i]
			if names := l.Names(); len(names) > 0 {
				last = names
			}
			for _, name := range last {
				if l.Side == mesh.BothSides || l.Side == side {
					on[name] = l
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(on)) {
		l := on[name]
		if l.Disabled || !slices.Contains(there, name) {
			continue
		}
		log := AccessLog{Collector: c.collectors[name], Filter: l.Filter}
		switch {
		case name == mesh.StandardOutput:
			log.Format = cmp.Or(l.Format, mesh.JSONLog)
		case log.Collector == nil || log.Collector.Type != mesh.OTLP:
			continue // reported
		}
		out = append(out, log)
	}
	return out
}

// traceState is the entries about traces so far.
type traceState struct {
	provider    string
	disabled    bool
	percent     *float64
	tags        []mesh.TracingTag
	propagation mesh.Propagation
}

func (s *traceState) add(t *mesh.Tracing, side mesh.Side) {
	if t.Side != mesh.BothSides && t.Side != side {
		return
	}
	if t.Provider != nil {
		s.provider = t.Provider.Name
	}
	if t.Disabled != nil {
		s.disabled = *t.Disabled
	}
	if t.Percent != nil {
		s.percent = t.Percent
	}
	if t.HasTags {
		s.tags = t.Tags
	}
	if t.Propagation != "" {
		s.propagation = t.Propagation
	}
}

func (c *checker) tracing(s *traceState) *Tracing {
	to := c.collectors[s.provider]
	if to == nil || s.disabled {
		return nil
	}
	out := &Tracing{Collector: to, Percent: defaultPercent, Tags: s.tags, Propagation: s.propagation}
	if s.percent != nil {
		out.Percent = *s.percent
	}
	if out.Propagation == "" {
		out.Propagation = mesh.B3
		if to.Type == mesh.OTLP {
			out.Propagation = mesh.W3C
		}
	}
	return out
}

// reportNotToItself: the proxy of a collector would report each report.
func (c *checker) reportNotToItself(n *node, r *Reporting) {
	own := func(to *Collector) bool {
		return to != nil && slices.ContainsFunc(to.Backend.Workloads, func(w *Workload) bool { return w.key == n.key })
	}
	if r.Tracing != nil && own(r.Tracing.Collector) {
		r.Tracing = nil
	}
	had := len(r.Logs)
	r.Logs = slices.DeleteFunc(r.Logs, func(l AccessLog) bool { return own(l.Collector) })
	if had > 0 && len(r.Logs) == 0 {
		r.Logs = DefaultReporting().Logs
	}
}
