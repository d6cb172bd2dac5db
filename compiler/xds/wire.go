package xds

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// message is a generated Envoy message, which carries Envoy's own constraints.
type message interface {
	proto.Message
	ValidateAll() error
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// encode is the last guard: what breaks Envoy's constraints is never emitted.
func encode(m message) ([]byte, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, fmt.Errorf("%s breaks Envoy's constraints: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return deterministic.Marshal(m)
}

func newResource(typeURL, name string, m message) (Resource, error) {
	data, err := encode(m)
	if err != nil {
		return Resource{}, fmt.Errorf("%q: %w", name, err)
	}
	return Resource{Type: typeURL, Name: name, Bytes: data}, nil
}

// packer puts messages into Any, whose content ValidateAll does not reach, and
// keeps the first error.
type packer struct {
	err error

	// Of listeners: what they report, nil for the default, and whose they are.
	reports  *check.Reporting
	workload string
	side     mesh.Side
	version  string // of the workload
	serves   string // the destination that metrics of an inbound port name
}

func (p *packer) any(m message) *anypb.Any {
	data, err := encode(m)
	if err != nil {
		p.fail(err)
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: data}
}

func (p *packer) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// appendField appends an embedded message that is already encoded. Fields of a
// message may be concatenated, so large messages are put together of parts that
// were encoded once; in the order of field numbers the bytes are those that
// encoding the whole would give.
func appendField(b []byte, number protowire.Number, part []byte) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	return protowire.AppendBytes(b, part)
}
