package mesh

import (
	"strconv"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// MatchKind says how a StringMatch compares.
type MatchKind uint8

// Match kinds. Prefix is a plain string prefix (Istio); SegmentPrefix matches
// whole path segments ("/search" and "/search/x", not "/searches"), Envoy's
// path_separated_prefix. Regex is RE2 over the whole value. Template is
// Envoy's URI template ("/charges/{id}/refund").
const (
	Exact MatchKind = iota
	Prefix
	SegmentPrefix
	Suffix
	Contains
	Regex
	Template
	Present
)

var matchNames = [...]string{"exact", "prefix", "segment prefix", "suffix", "contains", "regex", "template", "present"}

func (k MatchKind) String() string { return matchNames[k] }

// StringMatch compares one string.
type StringMatch struct {
	Kind       MatchKind
	Value      string
	IgnoreCase bool
	Span       source.Span
}

// HeaderMatch compares a header, query parameter or cookie by name. Invert
// negates; an inverted value match also matches when the header is absent.
type HeaderMatch struct {
	Name string // lower case for headers
	StringMatch
	Invert bool
}

// Match is a conjunction; the zero Match matches every request.
type Match struct {
	Path      *StringMatch
	Methods   []StringMatch // any of; empty: every method
	Scheme    *StringMatch
	Authority *StringMatch
	Headers   []HeaderMatch
	Query     []HeaderMatch
	Cookies   []HeaderMatch
	Ports     []uint32 // of the service; empty: every port
	From      []Caller // any of; empty: every caller. Decided at compile time.
	// StatPrefix names metrics that are kept for the match; "" keeps none of its own.
	StatPrefix string
	// GRPC restricts to gRPC requests; Path is then already set from service and method.
	GRPC bool
	// SNI are server names of a TLS connection that is passed through, any of;
	// empty: all.
	SNI []HostName
	// At are those for whom the match is, of who takes the route: gateways
	// ("namespace/name") and AtSidecars; empty: all.
	At []string
	// Precedence is the place of the match among those of all routes of the target
	// where Route.ByPrecedence is set: greater ones first, element by element.
	Precedence []uint32
	Span       source.Span
}

// AtSidecars stands for sidecars among the gateways of a match.
const AtSidecars = "mesh"

// Caller selects client workloads at compile time. Fields that are set must all
// hold.
type Caller struct {
	Namespaces      []string
	ServiceAccounts []AccountRef
	Labels          map[string]string
}

// AccountRef is a service account of the mesh's own trust domain.
type AccountRef struct {
	Namespace, Name string
	Span            source.Span
}

// Route is one document of routing: an ordered list of rules for its targets.
type Route struct {
	Origin
	// Targets: native routes have exactly one; Istio's hosts become one each.
	Targets []RouteTarget
	Rules   []*Rule
	// ServiceWhenUnmatched sends what no rule matched to the service itself;
	// otherwise it is answered 404.
	ServiceWhenUnmatched bool
	// ByPrecedence merges the route with the others of its kind that are about the
	// same target: Match.Precedence orders their matches, then the routes' names, and
	// not the order of documents. A route of a namespace other than its target's is
	// then for the clients of its own namespace alone.
	ByPrecedence bool
	// Connections are rules of their own for ports without requests (Istio's tcp
	// and tls); they ask for nothing but SNI, ports and callers. Rules that ask
	// nothing of requests hold there too, unless the route is Istio's.
	Connections []*Rule
	// Supersedes is set where other routes of the service are not in force beside this
	// one, which is no error (Linkerd's ServiceProfile).
	Supersedes bool
	// Gateways that take the route, for Hosts (empty: all of the listener's).
	// OffMesh is set where sidecars do not take it at all.
	Gateways []GatewayRef
	Hosts    []HostName
	OffMesh  bool
	// Delegate is set where the route is about nothing itself: its rules are those of
	// rules of other routes that name it.
	Delegate bool
	// ExportTo are the namespaces that see the route; nil: all.
	ExportTo []string
}

// Identify gives every rule an id of its own: Istio lets rules share a name.
func (r *Route) Identify() {
	times := map[string]int{}
	for _, rule := range r.Rules {
		times[rule.Name]++
		if again := times[rule.Name]; again > 1 {
			rule.Name += "#" + strconv.Itoa(again)
		}
		rule.ID = r.ID() + "/" + rule.Name
	}
}

// RouteTarget is what a route is about.
type RouteTarget struct {
	Ref
	External bool // native externalService
	// Port and PortName narrow the route to a port of the service; where neither is
	// set it is about all of them.
	Port     uint32
	PortName string
	PortAt   source.Span
}

// Rule is one rule of a route. Exactly one of To, Redirect, Respond is set, or
// none: then it goes to the route's own target.
type Rule struct {
	ID   string // "MeshRoute/shop/catalog/search"; stable, without positions
	Name string
	Span source.Span

	Matches []Match // any of; empty: every request

	To       []Destination
	Redirect *Redirect
	Respond  *Respond
	// DelegateTo names the route whose rules stand in the place of this one: package
	// check puts them there.
	DelegateTo *Ref
	// TotalWeight is what the weights of To must sum to (native); 0: they are
	// relative.
	TotalWeight uint32

	Rewrite         *Rewrite
	RequestHeaders  *HeaderOps
	ResponseHeaders *HeaderOps
	Timeout         *Timeout // nil: the dialect's default
	IdleTimeout     *time.Duration
	MaxStream       *time.Duration
	Retry           *Retry // nil: the dialect's default
	Fault           *Fault
	Mirrors         []Mirror
	CORS            *CORS
	Sticky          *Sticky
}

// Timeout of a route; 0 is none.
type Timeout struct {
	Value time.Duration
	Span  source.Span
}

// Destination is a weighted target. Weight counts only where HasWeight or where
// there are several.
type Destination struct {
	Service         *Ref // nil: the route's own target
	Version         string
	VersionAt       source.Span
	Port            uint32 // 0: the port of the request, or the service's only one
	PortAt          source.Span
	Weight          uint32
	HasWeight       bool
	FaultyWeight    bool // written and no weight, which is reported
	RequestHeaders  *HeaderOps
	ResponseHeaders *HeaderOps
	Span            source.Span
}

// HeaderOps changes headers. Values are literal: "%" has no meaning.
type HeaderOps struct {
	Set, Add []HeaderValue // in source order
	Remove   []string
}

// HeaderValue is one header.
type HeaderValue struct {
	Name, Value string
	Span        source.Span
}

// Redirect answers with a Location. At most one of Path and PrefixRewrite.
type Redirect struct {
	Scheme, Host string
	Port         uint32
	// RequestPort names the service's port to which the request came, where that is
	// not the scheme's.
	RequestPort   bool
	Path          string
	PrefixRewrite *string
	StripQuery    bool
	Code          uint32
	Span          source.Span
}

// Respond answers without an upstream.
type Respond struct {
	Status  uint32
	Body    string
	Headers []HeaderValue
	Span    source.Span
}

// Rewrite changes what the upstream sees. At most one of Prefix, Path, Regex.
type Rewrite struct {
	Prefix     *string // replaces the matched prefix
	Path       *string // replaces the whole path, keeping the query
	Regex      string  // RE2
	Substitute string  // with \1 references
	Host       string
	Span       source.Span
}

// Retry of a failed try.
type Retry struct {
	Attempts   uint32 // after the first request
	PerTry     *time.Duration
	Conditions []string // Envoy's retry_on words: connect-failure, reset, 5xx, ...
	Statuses   []uint32
	// Methods that may be repeated; nil: every method (only where a dialect's
	// documented meaning is so). Native: idempotent ones unless written.
	Methods            []string
	BackoffBase        *time.Duration
	BackoffMax         *time.Duration
	AvoidPreviousHosts bool
	// Safe is set where the document says that its requests are always safe to repeat
	// (Linkerd's isRetryable).
	Safe bool
	// RemoteLocalities tries what is less near where a near endpoint failed.
	RemoteLocalities bool
	Span             source.Span
}

// Fault is injected on purpose.
type Fault struct {
	DelayPercent float64
	Delay        time.Duration
	AbortPercent float64
	AbortStatus  uint32
	AbortGRPC    *uint32
	Expires      time.Time
	Span         source.Span
}

// Mirror sends a copy, whose answer is ignored.
type Mirror struct {
	Destination
	Percent float64
}

// CORS of a route.
type CORS struct {
	AllowOrigins     []StringMatch
	AllowMethods     []string
	AllowHeaders     []string
	ExposeHeaders    []string
	MaxAge           time.Duration
	AllowCredentials bool
	Span             source.Span
}

// Sticky keeps a caller on its version, by the hash of something that it repeats.
type Sticky struct {
	Key  HashKey
	Span source.Span
}
