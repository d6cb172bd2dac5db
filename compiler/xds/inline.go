package xds

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// inline walks a message and everything in it, in Any too, and replaces what
// refers to the agent.
func (b *staticBuilder) inline(m protoreflect.Message) error {
	if a, ok := m.Interface().(*anypb.Any); ok {
		return b.inlineAny(a)
	}
	if err := b.inlineMessage(m.Interface()); err != nil {
		return err
	}
	var err error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		err = b.inlineField(field, value)
		return err == nil
	})
	return err
}

func (b *staticBuilder) inlineField(field protoreflect.FieldDescriptor, value protoreflect.Value) error {
	switch {
	case field.IsMap():
		return b.inlineMap(field, value.Map())
	case field.Message() == nil:
		return nil
	case field.IsList():
		list := value.List()
		for i := range list.Len() {
			if err := b.inline(list.Get(i).Message()); err != nil {
				return err
			}
		}
		return nil
	}
	return b.inline(value.Message())
}

func (b *staticBuilder) inlineMap(field protoreflect.FieldDescriptor, entries protoreflect.Map) error {
	if field.MapValue().Message() == nil {
		return nil
	}
	var err error
	entries.Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool {
		err = b.inline(value.Message())
		return err == nil
	})
	return err
}
