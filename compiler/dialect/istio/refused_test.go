package istio

import (
	"fmt"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// TestRefusedFields writes each refused field, alone on line 6 of a document, and
// demands the error unsupported where the field's name stands.
func TestRefusedFields(t *testing.T) {
	tried := 0
	for name, k := range kinds {
		seen := map[string]bool{}
		refusedBelow(k.spec.ProtoReflect().Descriptor(), "", "", seen, func(path, open, end string) {
			tried++
			text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: a, namespace: b}\nspec:\n  {%s\n   %s%s}\n",
				k.versions[0], name, open, path, end)
			if !refusedAt(k, text) {
				t.Errorf("%s: no error unsupported at 6:4 of\n%s", name, text)
			}
		})
	}
	if tried < 30 {
		t.Errorf("only %d fields are tried", tried)
	}
}

func refusedAt(k kind, text string) bool {
	loaded, _ := load.Load(fstest.MapFS{"in.yaml": {Data: []byte(text)}}, load.Options{
		DefaultNamespace: "default",
		Groups:           func(string, string) load.Reading { return load.Reading{Read: true} },
	})
	for _, doc := range loaded.Documents {
		_, diags := document(k.spec.ProtoReflect().Descriptor(), k.read)(doc)
		for _, d := range diags {
			if d.Code == translate.CodeUnsupported && d.Span.Start.Line == 6 && d.Span.Start.Column == 4 {
				return true
			}
		}
	}
	return false
}

// refusedBelow visits the refused fields below a message: the field with a value that
// is not its default, and what opens and closes the objects around it.
func refusedBelow(md protoreflect.MessageDescriptor, open, end string, seen map[string]bool, visit func(field, open, end string)) {
	if seen[messageName(md)] {
		return
	}
	seen[messageName(md)] = true
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if treatments[messageName(md)][fd.JSONName()].treatment == refused {
			visit(fd.JSONName()+": "+sample(fd), open, end)
			continue
		}
		before, after := "{", "}"
		if fd.IsList() {
			before, after = "[{", "}]"
		} else if fd.IsMap() {
			before, after, fd = "{a: {", "}}", fd.MapValue()
		}
		if m := fd.Message(); m != nil && m.ParentFile().Package() != "google.protobuf" {
			key := md.Fields().Get(i).JSONName()
			refusedBelow(m, open+key+": "+before, after+end, seen, visit)
		}
	}
}

// sample is a value that is not the default.
func sample(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsList():
		return "[a]"
	case fd.IsMap():
		return "{a: b}"
	case fd.Kind() == protoreflect.BoolKind:
		return "true"
	case fd.Kind() == protoreflect.MessageKind:
		return "{}"
	case fd.Kind() == protoreflect.StringKind:
		return "a"
	}
	return "1"
}
