package meshtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"

	agentauthz "github.com/mesh-compile/mesh-compile/agent/authz"
	"github.com/mesh-compile/mesh-compile/compiler/authz"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// AskBundle puts a request to the OPA bundle of each workload behind its
// destinations, as the workload's proxy describes it, and says how the decisions
// differ from the evaluator's. What never gets to a decision is not asked:
// refused handshakes and paths, and callers without a proxy of their own.
func AskBundle(ctx context.Context, m *check.Mesh, want *reach.Result) ([]string, error) {
	if want.Caller == nil {
		return nil, nil
	}
	var differences []string
	for i := range want.Access.Workloads {
		w := &want.Access.Workloads[i]
		if w.Decision == reach.Deny && w.Status != http.StatusForbidden {
			continue
		}
		request, ok := describe(want, w)
		if !ok {
			continue
		}
		allowed, rule, err := ask(ctx, m, m.Workload(w.Workload.Key()), request)
		if err != nil {
			return nil, err
		}
		if allowed != (w.Decision == reach.Allow) || w.Rule != nil && rule != w.Rule.ID {
			differences = append(differences, fmt.Sprintf("access to %s: the evaluator says %s, OPA allow=%t by %q",
				w.Workload.Key(), reach.DecisionText(&w.Access, ""), allowed, rule))
		}
	}
	return differences, nil
}

func ask(ctx context.Context, m *check.Mesh, w *check.Workload, r *authv3.CheckRequest) (allowed bool, rule string, err error) {
	bundle, err := authz.Bundle(m, w)
	if err != nil {
		return false, "", fmt.Errorf("making the bundle of %s: %w", w.Key(), err)
	}
	server := agentauthz.NewServer()
	if err := server.Load(ctx, bundle); err != nil {
		return false, "", err
	}
	answer, err := server.Check(ctx, r)
	if err != nil {
		return false, "", err
	}
	rule = answer.GetDynamicMetadata().GetFields()["rule"].GetStringValue()
	return answer.GetStatus().GetCode() == int32(codes.OK), rule, nil
}

// describe is the request as the proxy of w tells it, unless w has none there.
func describe(want *reach.Result, w *reach.WorkloadAccess) (*authv3.CheckRequest, bool) {
	k := slices.IndexFunc(w.Workload.Inbound, func(in *check.Inbound) bool {
		return slices.ContainsFunc(in.Services, func(p *check.Port) bool {
			return p.Number == w.Backend.Port.Number && p.Service.Key() == w.Backend.Port.Service.Key()
		})
	})
	if k < 0 {
		return nil, false
	}
	in := w.Workload.Inbound[k]
	attributes := &authv3.AttributeContext{
		Source:      peer("127.0.0.1", 40000),
		Destination: peer("127.0.0.2", in.Port),
	}
	if w.Backend.TLS == check.TLSMesh {
		attributes.Source.Principal = want.Caller.Identity
		attributes.Destination.Principal = w.Workload.Identity
	}
	if in.Protocol.IsHTTP() {
		attributes.Request = &authv3.AttributeContext_Request{Http: described(want, w)}
	}
	return &authv3.CheckRequest{Attributes: attributes}, true
}

func described(want *reach.Result, w *reach.WorkloadAccess) *authv3.AttributeContext_HttpRequest {
	up := &want.Route.Upstream
	headers := up.Headers
	for _, d := range want.Route.Destinations {
		if d.Backend == w.Backend && d.Headers != nil {
			headers = d.Headers
		}
	}
	method := want.Request.Method
	if method == "" {
		method = http.MethodGet
	}
	out := &authv3.AttributeContext_HttpRequest{
		Method: method, Path: up.Path, Host: up.Host, Scheme: "http", Protocol: "HTTP/1.1",
		HeaderMap: &corev3.HeaderMap{},
	}
	add := func(name, value string) {
		out.HeaderMap.Headers = append(out.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	add(":method", method)
	add(":path", up.Path)
	add(":authority", up.Host)
	add(":scheme", "http")
	for name, values := range headers {
		for _, value := range values {
			add(name, value)
		}
	}
	return out
}

func peer(ip string, port uint32) *authv3.AttributeContext_Peer {
	return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
		SocketAddress: &corev3.SocketAddress{Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
}
