package verify

import (
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// maxDepth is deeper than any resource of ours; Envoy itself refuses 100.
const maxDepth = 64

// walk looks at every message of a resource, through every Any.
func walk(m protoreflect.Message) error { return walker{}.message(m) }

type walker struct {
	depth int
	files bool // inside a TLS context, where certificates may be files
}

func (w walker) message(m protoreflect.Message) error {
	if w.depth++; w.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s has fields that this agent does not know", m.Descriptor().FullName())
	}
	if err := w.check(m); err != nil {
		return fmt.Errorf("%s: %w", m.Descriptor().FullName(), err)
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
	}
	return w.fields(m)
}

func (w walker) fields(m protoreflect.Message) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					err = w.message(v.Message())
					return err == nil
				})
			}
		case f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = w.message(v.List().Get(i).Message())
			}
		default:
			err = w.message(v.Message())
		}
		return err == nil
	})
	return err
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
	case *corev3.Address:
		if v.GetSocketAddress() == nil {
			return errors.New("only socket addresses are taken")
		}
	case *corev3.SocketAddress:
		if v.GetResolverName() != "" {
			return errors.New("custom resolvers are not taken")
		}
	case *tlsv3.SdsSecretConfig:
		return secret(v)
	}
	return nil
}

// Names of the secrets that the agent serves.
const (
	certificateSecret = "default"
	rootsSecret       = "ROOTCA"
)

func secret(v *tlsv3.SdsSecretConfig) error {
	if v.GetName() != certificateSecret && v.GetName() != rootsSecret {
		return fmt.Errorf("secret %.100q is not one of the agent's", v.GetName())
	}
	if v.GetSdsConfig() == nil {
		return fmt.Errorf("secret %q without a source", v.GetName())
	}
	return nil
}
