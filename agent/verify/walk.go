package verify

import (
	"errors"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// maxDepth is deeper than any resource of ours; Envoy itself refuses 100.
const maxDepth = 64

// A walker looks at every message of a resource, through every Any.
type walker struct {
	depth int
	files bool // inside a TLS context, where certificates may be files
	// gateway: inside a gateway's listener, whose secrets are mounted files.
	gateway bool
	// nowhere: inside a route that the proxy answers itself.
	nowhere bool
	// application, where set, tells the clusters that may not be led to.
	application func(cluster string) bool
}

func (w walker) message(m protoreflect.Message) error {
	if w.depth++; w.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s has fields that this agent does not know", m.Descriptor().FullName())
	}
	for _, check := range []func(protoreflect.Message) error{w.check, w.checkFilter, w.checkTLS, w.reference} {
		if err := check(m); err != nil {
			return fmt.Errorf("%s: %w", m.Descriptor().FullName(), err)
		}
	}
	switch v := m.Interface().(type) {
	case *anypb.Any:
		inner, err := decode(v.GetTypeUrl(), v.GetValue())
		if err != nil {
			return err
		}
		return w.message(inner.ProtoReflect())
	case *tlsv3.CommonTlsContext:
		w.files = true
	case *routev3.Route:
		w.nowhere = v.GetDirectResponse() != nil
	}
	return w.fields(m)
}

func (w walker) fields(m protoreflect.Message) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = w.value(f.MapValue(), v)
				return err == nil
			})
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = w.value(f, v.List().Get(i))
			}
		default:
			err = w.value(f, v)
		}
		return err == nil
	})
	return err
}

func (w walker) value(f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch {
	case f.Message() != nil:
		return w.message(v.Message())
	case f.Kind() == protoreflect.StringKind:
		return format(v.String())
	}
	return nil
}

// secretOperators of Envoy's format strings, which stand in headers, bodies and
// logs, read what is the proxy's own.
var secretOperators = []string{"%ENVIRONMENT(", "%FILE_CONTENT(", "%SECRET("}

// format refuses text that would be a secret of the proxy where Envoy takes it
// for a format. "%%" is a percent sign there.
func format(text string) error {
	if !strings.Contains(text, "%") {
		return nil
	}
	text = strings.ReplaceAll(text, "%%", "")
	for _, operator := range secretOperators {
		if strings.Contains(text, operator) {
			return fmt.Errorf("%s...) would tell what the proxy alone knows", operator)
		}
	}
	return nil
}

// check refuses messages that reach past the agent.
func (w walker) check(m protoreflect.Message) error {
	switch v := m.Interface().(type) {
	case *corev3.ConfigSource:
		if v.GetAds() == nil {
			return errors.New("configuration may only come from the agent")
		}
	case *corev3.ExtensionConfigSource:
		return errors.New("filters may not be discovered")
	case *corev3.GrpcService:
		if v.GetEnvoyGrpc() == nil {
			return errors.New("gRPC may only go to a cluster of the release")
		}
	case *corev3.DataSource:
		if v.GetEnvironmentVariable() != "" || (v.GetFilename() != "" && !w.files) {
			return errors.New("files and environment of the proxy are not the release's to read")
		}
	case *tracingv3.CustomTag:
		if v.GetEnvironment() != nil {
			return errors.New("the environment of the proxy is not the release's to tell")
		}
	case *corev3.HealthCheck:
		//lint:ignore SA1019 Envoy still writes the file
		if v.GetEventLogPath() != "" {
			return errors.New("files of the proxy are not the release's to write")
		}
	case *corev3.Address:
		if v.GetSocketAddress() == nil {
			return errors.New("only socket addresses are taken")
		}
	case *corev3.SocketAddress:
		if v.GetResolverName() != "" || v.GetNetworkNamespaceFilepath() != "" {
			return errors.New("custom resolvers and network namespaces are not taken")
		}
	}
	return nil
}

// checkFilter refuses what takes access rules out of the way of some requests
// (AZ-22, AZ-24): filters of their own for an upgrade, and switches per route.
func (w walker) checkFilter(m protoreflect.Message) error {
	switch v := m.Interface().(type) {
	case *hcmv3.HttpConnectionManager_UpgradeConfig:
		if len(v.GetFilters()) > 0 {
			return errors.New("an upgrade may not have filters of its own")
		}
	case *hcmv3.HttpFilter:
		if (v.GetDisabled() || v.GetIsOptional()) && enforces[v.GetTypedConfig().GetTypeUrl()] {
			return fmt.Errorf("filter %.100q that may be off does not enforce", v.GetName())
		}
	case *routev3.FilterConfig:
		if v.GetDisabled() {
			return errors.New("a route may not switch a filter off")
		}
	case *rbacv3.RBACPerRoute, *extauthzv3.ExtAuthzPerRoute:
		if !w.nowhere {
			return errors.New("a route may not have access rules of its own, unless it leads nowhere")
		}
	}
	return nil
}

// checkTLS refuses what lets somebody else read or resume TLS sessions, and
// secrets that the agent does not serve.
func (w walker) checkTLS(m protoreflect.Message) error {
	switch v := m.Interface().(type) {
	case *tlsv3.TlsKeyLog:
		return errors.New("keys of TLS sessions may not be written down")
	case *tlsv3.DownstreamTlsContext:
		if v.GetSessionTicketKeys() != nil || v.GetSessionTicketKeysSdsSecretConfig() != nil {
			return errors.New("whoever has the keys of session tickets can be any client")
		}
	case *tlsv3.SdsSecretConfig:
		return w.secret(v)
	}
	return nil
}

// Names of the secrets that the agent serves.
const (
	certificateSecret = "default"
	rootsSecret       = "ROOTCA"
)

func (w walker) secret(v *tlsv3.SdsSecretConfig) error {
	_, _, file := FileOf(v.GetName())
	own := v.GetName() == certificateSecret || v.GetName() == rootsSecret
	if w.gateway && !file || !w.gateway && !own {
		return fmt.Errorf("secret %.100q is not one of the agent's", v.GetName())
	}
	if v.GetSdsConfig() == nil {
		return fmt.Errorf("secret %q without a source", v.GetName())
	}
	return nil
}
