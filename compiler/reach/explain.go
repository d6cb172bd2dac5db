package reach

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Explanation is the document of `mesh-compile explain --format json`.
type Explanation struct {
	Version int              `json:"version"`
	Request ExplainedRequest `json:"request"`
	Entry   *ExplainedEntry  `json:"entry,omitempty"` // of a request at a gateway
	Access  ExplainedAccess  `json:"access"`
	Route   ExplainedRoute   `json:"route"`
}

// ExplainedRequest repeats the question.
type ExplainedRequest struct {
	From    string            `json:"from"`
	To      string            `json:"to"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers,omitempty"` // lines of one name joined by ","
	// Gateway is "namespace/name" where the request arrives from outside the mesh; SNI
	// the server name of its TLS, the host of To where empty.
	Gateway           string `json:"gateway,omitempty"`
	SNI               string `json:"sni,omitempty"`
	ClientCertificate bool   `json:"clientCertificate,omitempty"`
}

// ExplainedEntry is the listener that took a request at a gateway; none where
// Listener is "".
type ExplainedEntry struct {
	Listener string `json:"listener,omitempty"` // "namespace/gateway/listener"
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	SNI      string `json:"sni,omitempty"` // "" without TLS
}

// ExplainedAccess is the decision about access; "none" where the request
// reaches no proxy that could refuse it. Workloads are listed where they differ.
type ExplainedAccess struct {
	Decision  Decision                     `json:"decision"`
	By        *Decider                     `json:"by,omitempty"`
	Reason    string                       `json:"reason,omitempty"`
	Workloads map[string]WorkloadExplained `json:"workloads,omitempty"`
}

// WorkloadExplained is one workload's decision, by "namespace/name".
type WorkloadExplained struct {
	Decision Decision `json:"decision"`
	By       *Decider `json:"by,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

// Decider is the rule that decided, or "default", and its place.
type Decider struct {
	Rule string `json:"rule"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// ExplainedRoute says where the request goes. Status is what the caller sees
// where a proxy answers.
type ExplainedRoute struct {
	Name         string                 `json:"name,omitempty"`
	File         string                 `json:"file,omitempty"`
	Line         int                    `json:"line,omitempty"`
	Action       Action                 `json:"action"`
	Status       uint32                 `json:"status,omitempty"`
	Location     string                 `json:"location,omitempty"`
	Reason       string                 `json:"reason,omitempty"`
	Destinations []ExplainedDestination `json:"destinations,omitempty"`
	Upstream     *ExplainedUpstream     `json:"upstream,omitempty"`
	Timeout      string                 `json:"timeout,omitempty"` // "15s"; "0s": none
	Attempts     uint32                 `json:"attempts"`          // after the first request
	Mirrors      []ExplainedDestination `json:"mirrors,omitempty"`
	Fault        *ExplainedFault        `json:"fault,omitempty"`
}

// ExplainedDestination is a share of the requests.
type ExplainedDestination struct {
	Service string  `json:"service"` // "namespace/name"
	Version string  `json:"version,omitempty"`
	Port    uint32  `json:"port"`
	Percent float64 `json:"percent"`
}

// ExplainedUpstream is the request as the destination receives it.
type ExplainedUpstream struct {
	Path    string            `json:"path"`
	Host    string            `json:"host"`
	Headers map[string]string `json:"headers,omitempty"`
}

// ExplainedFault is what is injected on purpose.
type ExplainedFault struct {
	Delay        string  `json:"delay,omitempty"`
	DelayPercent float64 `json:"delayPercent,omitempty"`
	AbortStatus  uint32  `json:"abortStatus,omitempty"`
	AbortPercent float64 `json:"abortPercent,omitempty"`
}

// Explain makes the document of a result. dir is put before file names, so that
// they can be opened from where the command was called.
func Explain(r *Result, dir string) Explanation {
	return Explanation{
		Version: 1,
		Request: explainRequest(&r.Request),
		Entry:   explainEntry(r.Entry, dir),
		Access:  explainAccess(&r.Access, dir),
		Route:   explainRoute(r, dir),
	}
}

func explainRequest(r *Request) ExplainedRequest {
	out := ExplainedRequest{From: r.From, To: r.To, Method: r.Method, Path: r.Path}
	if out.From == "" {
		out.From = NoIdentity
	}
	if out.Method == "" {
		out.Method = "GET"
	}
	if out.Path == "" {
		out.Path = "/"
	}
	out.Headers = joinHeaders(r.Headers)
	out.Gateway, out.SNI, out.ClientCertificate = r.Gateway, r.SNI, r.ClientCertificate
	return out
}

func explainEntry(e *Entry, dir string) *ExplainedEntry {
	if e == nil {
		return nil
	}
	out := &ExplainedEntry{SNI: e.serverName()}
	if l := e.Listener; l != nil {
		out.Listener, out.File, out.Line = l.ID(), l.Span.Below(dir).File, l.Span.Start.Line
	}
	return out
}

// serverName is what the client's TLS names, "" without.
func (e *Entry) serverName() string {
	if !e.Port.TLS {
		return ""
	}
	return e.SNI
}

func joinHeaders(headers map[string][]string) map[string]string {
	out := make(map[string]string, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		out[strings.ToLower(name)] = strings.Join(headers[name], ",")
	}
	return out
}

func explainAccess(a *Access, dir string) ExplainedAccess {
	out := ExplainedAccess{Decision: a.Decision, By: deciderOf(a, dir), Reason: a.Reason}
	first := WorkloadExplained{Decision: out.Decision, By: out.By, Reason: out.Reason}
	each := make(map[string]WorkloadExplained, len(a.Workloads))
	differ := false
	for i := range a.Workloads {
		w := &a.Workloads[i]
		one := WorkloadExplained{Decision: w.Decision, By: deciderOf(&w.Access, dir), Reason: w.Reason}
		each[w.Workload.Key()] = one
		differ = differ || one.Decision != first.Decision
	}
	if differ {
		out.Workloads = each
	}
	return out
}

func deciderOf(a *Access, dir string) *Decider {
	d := Decider{Rule: "default", File: a.Span.Below(dir).File, Line: a.Span.Start.Line}
	switch {
	case a.Rule != nil:
		d.Rule = a.Rule.ID
	case !a.Span.IsValid():
		return nil
	}
	return &d
}

func explainRoute(r *Result, dir string) ExplainedRoute {
	out := ExplainedRoute{
		Action: r.Route.Action, Status: r.Status, Location: r.Route.Location, Reason: r.Route.Reason,
		Attempts: r.Route.Retries,
	}
	if rule := r.Route.Rule; rule != nil {
		out.Name, out.File, out.Line = rule.Name, rule.Span.Below(dir).File, rule.Span.Start.Line
	}
	if r.Route.Action == ActionRoute {
		out.Timeout = r.Route.Timeout.String()
	}
	for _, d := range r.Route.Destinations {
		out.Destinations = append(out.Destinations, explainDestination(d.Backend.Port.Service.Key(), d.Backend.Version, d.Backend.Port.Number, d.Percent))
	}
	for _, m := range r.Route.Mirrors {
		out.Mirrors = append(out.Mirrors, explainDestination(m.Backend.Port.Service.Key(), m.Backend.Version, m.Backend.Port.Number, m.Percent))
	}
	if up := r.Route.Upstream; up.Path != "" {
		out.Upstream = &ExplainedUpstream{Path: up.Path, Host: up.Host, Headers: joinHeaders(up.Headers)}
	}
	if f := r.Route.Fault; f != nil {
		out.Fault = &ExplainedFault{DelayPercent: f.DelayPercent, AbortStatus: f.AbortStatus, AbortPercent: f.AbortPercent}
		if f.Delay > 0 {
			out.Fault.Delay = f.Delay.String()
		}
	}
	return out
}

func explainDestination(service, version string, port uint32, percent float64) ExplainedDestination {
	return ExplainedDestination{Service: service, Version: version, Port: port, Percent: percent}
}

// Text says a result for people, with the place of every rule that decided; dir
// is put before file names.
func Text(r *Result, dir string) string {
	var b strings.Builder
	q := explainRequest(&r.Request)
	if r.Entry == nil {
		fmt.Fprintf(&b, "%s %s%s from %s\n", q.Method, q.To, q.Path, q.From)
	} else {
		fmt.Fprintf(&b, "%s %s%s at gateway %s\n", q.Method, q.To, q.Path, q.Gateway)
		textEntry(&b, r.Entry, dir)
	}
	textRoute(&b, r, dir)
	textAccess(&b, &r.Access, dir)
	return b.String()
}

func textEntry(b *strings.Builder, e *Entry, dir string) {
	b.WriteString("  entry   ")
	if l := e.Listener; l != nil {
		fmt.Fprintf(b, "listener %s%s", l.ID(), place(l.Span, dir))
	} else {
		b.WriteString("no listener")
	}
	if name := e.serverName(); name != "" {
		fmt.Fprintf(b, " for server name %s", name)
	}
	b.WriteByte('\n')
}

func textRoute(b *strings.Builder, r *Result, dir string) {
	route := &r.Route
	fmt.Fprintf(b, "  route   %s", routeOutcome(r))
	if route.Rule != nil {
		fmt.Fprintf(b, " by rule %q%s", route.Rule.Name, place(route.Rule.Span, dir))
	}
	b.WriteByte('\n')
	for _, d := range route.Destinations {
		fmt.Fprintf(b, "    %s%% to %s\n", percent(d.Percent), destinationText(d.Backend.Port.Service.Key(), d.Backend.Version, d.Backend.Port.Number))
	}
	for _, m := range route.Mirrors {
		fmt.Fprintf(b, "    a copy of %s%% to %s\n", percent(m.Percent), destinationText(m.Backend.Port.Service.Key(), m.Backend.Version, m.Backend.Port.Number))
	}
	if route.Action == ActionRoute {
		fmt.Fprintf(b, "    as %s on host %s; timeout %s, at most %d retries\n",
			route.Upstream.Path, route.Upstream.Host, timeoutText(route.Timeout), route.Retries)
	}
}

func routeOutcome(result *Result) string {
	r, proxy := &result.Route, "the caller's proxy"
	if result.Entry != nil {
		proxy = "the gateway"
	}
	switch r.Action {
	case ActionRedirect:
		return fmt.Sprintf("%d to %s", r.Status, r.Location)
	case ActionRoute:
		return "to its destinations"
	}
	switch {
	case r.Status == 0:
		return "none: " + r.Reason
	case r.Reason == "":
		return fmt.Sprintf("answered %d by %s", r.Status, proxy)
	}
	return fmt.Sprintf("answered %d by %s: %s", r.Status, proxy, r.Reason)
}

func destinationText(service, version string, port uint32) string {
	if version != "" {
		version = " version " + version
	}
	return fmt.Sprintf("%s:%d%s", service, port, version)
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

func timeoutText(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

func textAccess(b *strings.Builder, a *Access, dir string) {
	if a.Decision == NotAsked {
		b.WriteString("  access  not asked: the request reaches no workload\n")
		return
	}
	fmt.Fprintf(b, "  access  %s\n", DecisionText(a, dir))
	for i := range a.Workloads {
		if w := &a.Workloads[i]; w.Decision != a.Decision {
			fmt.Fprintf(b, "    but %s by %s\n", DecisionText(&w.Access, dir), w.Workload.Key())
		}
	}
}

// DecisionText says a decision and what made it: `deny by rule "..."
// (file:line:col)`, the file below dir.
func DecisionText(a *Access, dir string) string {
	out := string(a.Decision)
	switch {
	case a.Rule != nil:
		out += fmt.Sprintf(" by rule %q", a.Rule.ID)
	case a.Reason != "":
		out += ": " + a.Reason
	}
	return out + place(a.Span, dir)
}

func place(s source.Span, dir string) string {
	if !s.IsValid() {
		return ""
	}
	return " (" + s.Below(dir).String() + ")"
}
