package xds

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func unknown(what string, value any) error { return fmt.Errorf("%s %v is unknown", what, value) }

// routes returns the Envoy routes of a rule, one for each match.
func (p *packer) routes(port *check.Port, rule *check.Rule, matches []mesh.Match) []*routev3.Route {
	perFilter := p.perFilter(rule)
	request, response := headerOps(rule.RequestHeaders), headerOps(rule.ResponseHeaders)
	var out []*routev3.Route
	for i := range matches {
		for _, match := range p.routeMatches(&matches[i]) {
			r := &routev3.Route{
				Name:                    rule.ID,
				Match:                   match,
				StatPrefix:              matches[i].StatPrefix,
				TypedPerFilterConfig:    perFilter,
				RequestHeadersToAdd:     request.add,
				RequestHeadersToRemove:  request.remove,
				ResponseHeadersToAdd:    response.add,
				ResponseHeadersToRemove: response.remove,
			}
			p.setAction(r, port, rule, matches[i].Path)
			out = append(out, r)
		}
	}
	return out
}

func (p *packer) setAction(r *routev3.Route, port *check.Port, rule *check.Rule, path *mesh.StringMatch) {
	switch {
	case rule.Redirect != nil:
		r.Action = p.redirect(rule.Redirect, path)
	case rule.Respond != nil:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: directResponse(rule.Respond.Status, rule.Respond.Body)}
		set := headerOps(&mesh.HeaderOps{Set: rule.Respond.Headers})
		r.ResponseHeadersToAdd = slices.Concat(set.add, r.ResponseHeadersToAdd)
	case len(rule.To) > 0:
		r.Action = &routev3.Route_Route{Route: p.forward(port, rule, path)}
	default:
		p.fail(fmt.Errorf("rule %s does nothing", rule.ID))
	}
}

func directResponse(status uint32, body string) *routev3.DirectResponseAction {
	out := &routev3.DirectResponseAction{Status: status}
	if body != "" {
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}}
	}
	return out
}

// forward sends to the rule's destinations.
func (p *packer) forward(port *check.Port, rule *check.Rule, path *mesh.StringMatch) *routev3.RouteAction {
	if !resolved(rule) {
		p.fail(fmt.Errorf("rule %s: a destination has no backend", rule.ID))
		return &routev3.RouteAction{}
	}
	hash := hashPolicies(rule)
	out := &routev3.RouteAction{
		Timeout:               durationpb.New(rule.Timeout), // absent would be Envoy's 15 s
		RetryPolicy:           p.retryPolicy(rule),
		HashPolicy:            hash,
		RequestMirrorPolicies: mirrors(rule),
	}
	rewritePath(rule.Rewrite, path).apply(out)
	setDestinations(out, rule)
	if host := hostRewrite(rule); host != "" {
		out.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
	}
	if rule.IdleTimeout != nil {
		out.IdleTimeout = durationpb.New(*rule.IdleTimeout)
	}
	out.MaxStreamDuration = maxStream(port, rule)
	return out
}

func hostRewrite(rule *check.Rule) string {
	if rule.Rewrite != nil && rule.Rewrite.Host != "" {
		return rule.Rewrite.Host
	}
	if host := headerOps(rule.RequestHeaders).host; host != "" {
		return host
	}
	if len(rule.To) == 1 {
		return headerOps(rule.To[0].RequestHeaders).host
	}
	return ""
}

// maxStream bounds a stream. A gRPC client's own deadline (grpc-timeout) counts
// where it is shorter than the route's timeout, and a call that lasts longer ends as
// DEADLINE_EXCEEDED: the route's timeout alone would be UNAVAILABLE. With it, Envoy forgets that timeout
// (FilterUtility::finalTimeout, usingNewTimeouts), which is therefore said here, too.
func maxStream(port *check.Port, rule *check.Rule) *routev3.RouteAction_MaxStreamDuration {
	grpc := rule.IsGRPC(port) && rule.Timeout > 0
	if rule.MaxStream == nil && !grpc {
		return nil
	}
	out := &routev3.RouteAction_MaxStreamDuration{}
	longest := rule.Timeout
	if rule.MaxStream != nil && (longest == 0 || *rule.MaxStream > 0 && *rule.MaxStream < longest) {
		longest = *rule.MaxStream
	}
	out.MaxStreamDuration = durationpb.New(longest)
	if grpc {
		out.GrpcTimeoutHeaderMax = durationpb.New(rule.Timeout)
	}
	return out
}

func resolved(rule *check.Rule) bool {
	return !slices.ContainsFunc(rule.To, func(d check.Destination) bool { return d.Backend == nil }) &&
		!slices.ContainsFunc(rule.Mirrors, func(m check.MirrorTo) bool { return m.Backend == nil })
}

// setDestinations: a single destination is an entry of a weighted cluster only
// where it changes headers of its own.
func setDestinations(out *routev3.RouteAction, rule *check.Rule) {
	if d := &rule.To[0]; len(rule.To) == 1 && d.RequestHeaders == nil && d.ResponseHeaders == nil {
		out.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: ClusterName(d.Backend)}
		return
	}
	out.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted(rule)}
}

func weighted(rule *check.Rule) *routev3.WeightedCluster {
	out := &routev3.WeightedCluster{}
	if rule.Sticky != nil {
		out.RandomValueSpecifier = &routev3.WeightedCluster_UseHashPolicy{UseHashPolicy: wrapperspb.Bool(true)}
	}
	for i := range rule.To {
		d := &rule.To[i]
		request, response := headerOps(d.RequestHeaders), headerOps(d.ResponseHeaders)
		c := &routev3.WeightedCluster_ClusterWeight{
			Name:                    ClusterName(d.Backend),
			Weight:                  wrapperspb.UInt32(d.Weight),
			RequestHeadersToAdd:     request.add,
			RequestHeadersToRemove:  request.remove,
			ResponseHeadersToAdd:    response.add,
			ResponseHeadersToRemove: response.remove,
		}
		if request.host != "" && len(rule.To) > 1 {
			c.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: request.host}
		}
		out.Clusters = append(out.Clusters, c)
	}
	return out
}
