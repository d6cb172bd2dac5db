package mesh

import "github.com/mesh-compile/mesh-compile/compiler/source"

// Collector is a service that proxies report to, by the name that policies use.
type Collector struct {
	Name    string
	Type    CollectorType
	Service Ref
	Port    uint32
	PortAt  source.Span
	Span    source.Span // of the name
}

// CollectorType is the API of a collector.
type CollectorType string

// Types of collectors: OpenTelemetry over gRPC, and Zipkin's version 2 over HTTP.
const (
	OTLP   CollectorType = "otlp"
	Zipkin CollectorType = "zipkin"
)

// StandardOutput is the name of the provider that needs no collector: the proxy's
// own standard output.
const StandardOutput = "stdout"

// Telemetry says what the proxies of its target tell of requests: native
// TelemetryPolicy, Istio Telemetry.
type Telemetry struct {
	Origin
	Target  Target
	Logs    []AccessLogging
	Tracing []Tracing
}

// Side is the part of a proxy that something is about.
type Side string

// Sides: requests that the workload sends, and those that it takes.
const (
	BothSides  Side = ""
	ClientSide Side = "client"
	ServerSide Side = "server"
)

// AccessLogging is an entry about access logs. Without Providers it is about those
// of the entries before it.
type AccessLogging struct {
	Side      Side
	Providers []ProviderRef
	Disabled  bool
	Format    LogFormat // "" where not written
	Filter    LogFilter
	Span      source.Span
}

// LogFormat is how a line on standard output is written.
type LogFormat string

// Formats.
const (
	JSONLog LogFormat = "json"
	TextLog LogFormat = "text"
)

// LogFilter logs what passes all of its conditions; the zero filter everything.
type LogFilter struct {
	ErrorsOnly bool     // status 400 and above, gRPC errors, and response flags
	Percent    *float64 // of what is left
	MinStatus  uint32   // 0: none
}

// Tracing is an entry about traces; what it does not write is as before it.
type Tracing struct {
	Side        Side
	Provider    *ProviderRef
	Disabled    *bool
	Percent     *float64
	Tags        []TracingTag
	HasTags     bool
	Propagation Propagation // "" where not written
	At          source.Span // of the propagation
	Span        source.Span
}

// ProviderRef names a collector of the Mesh, or StandardOutput.
type ProviderRef struct {
	Name string
	Span source.Span
}

// TracingTag is a tag of every span: a literal, or a request's header.
type TracingTag struct {
	Name            string
	Literal         string
	Header, Default string
}

// Propagation is the headers that carry a trace from hop to hop.
type Propagation string

// Propagations.
const (
	B3       Propagation = "b3"
	B3AndW3C Propagation = "b3-w3c"
	W3C      Propagation = "w3c"
)

// Names are the providers that the entry names.
func (l *AccessLogging) Names() (out []string) {
	for _, p := range l.Providers {
		out = append(out, p.Name)
	}
	return out
}
