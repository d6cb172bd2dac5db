package istio

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestFields compares table fields with the descriptors: each field that a
// supported kind can reach is treated in exactly one way, and no other stands
// in the table.
func TestFields(t *testing.T) {
	reached := map[string]protoreflect.MessageDescriptor{}
	for _, k := range kinds {
		reach(t, k.spec.ProtoReflect().Descriptor(), reached)
	}
	for name, md := range reached {
		u, ok := fields[name]
		if !ok {
			t.Errorf("message %s is reached and not in the table", name)
			continue
		}
		var upstream []string
		for i := range md.Fields().Len() {
			upstream = append(upstream, md.Fields().Get(i).JSONName())
		}
		dialecttest.Treated(t, name, upstream, u.reads, u.warns, u.refuses)
	}
	for name := range fields {
		if reached[name] == nil {
			t.Errorf("message %s is not reached", name)
		}
	}
}

// reach collects the messages below fields that are read.
func reach(t *testing.T, md protoreflect.MessageDescriptor, found map[string]protoreflect.MessageDescriptor) {
	name := messageName(md)
	if found[name] != nil {
		if found[name].FullName() != md.FullName() {
			t.Errorf("%s and %s share the name %s in the table", found[name].FullName(), md.FullName(), name)
		}
		return
	}
	found[name] = md
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if treatments[name][fd.JSONName()].treatment == refused {
			continue
		}
		if fd.IsMap() {
			fd = fd.MapValue()
		}
		if m := fd.Message(); m != nil && m.ParentFile().Package() != "google.protobuf" {
			reach(t, m, found)
		}
	}
}

// TestEveryFieldIsRead demands that the translators name each field that the
// table says they read: one that they forgot would be dropped in silence.
func TestEveryFieldIsRead(t *testing.T) {
	code := dialecttest.Code(t)
	for message, rules := range treatments {
		for field, r := range rules {
			if r.treatment != refused && !strings.Contains(code, strconv.Quote(field)) {
				t.Errorf("no translator reads %s.%s", message, field)
			}
		}
	}
}

// TestStatusPage holds docs/status.md to the table: who plans a migration reads
// there what is refused.
func TestStatusPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	for message, u := range fields {
		for field := range u.refuses {
			if !strings.Contains(string(page), "`"+field+"`") {
				t.Errorf("docs/status.md does not say that %s.%s is refused", message, field)
			}
		}
	}
	for kind := range natively {
		if kind != "TrafficExtension" && !strings.Contains(string(page), kind) {
			t.Errorf("docs/status.md does not say that %s is refused", kind)
		}
	}
}
