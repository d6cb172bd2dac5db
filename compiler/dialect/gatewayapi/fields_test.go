package gatewayapi

import (
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestFields compares table fields with the Go types: each field that a supported
// kind can reach is treated in exactly one way, and no other stands in the table.
func TestFields(t *testing.T) {
	reached := map[string]reflect.Type{}
	for _, k := range kinds {
		reach(k.spec, reached)
	}
	for name, of := range reached {
		u, ok := fields[name]
		if !ok {
			t.Errorf("type %s is reached and not in the table", name)
			continue
		}
		var upstream []string
		for _, m := range members(of) {
			upstream = append(upstream, m.name)
		}
		dialecttest.Treated(t, name, upstream, u.reads, u.warns, u.refuses)
	}
	for name := range fields {
		if reached[name] == nil {
			t.Errorf("type %s is not reached", name)
		}
	}
}

// reach collects the struct types below fields that are read.
func reach(of reflect.Type, found map[string]reflect.Type) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || found[of.Name()] != nil {
		return
	}
	found[of.Name()] = of
	for _, m := range members(of) {
		if treatments[of.Name()][m.name] {
			reach(m.of, found)
		}
	}
}

// TestEveryFieldIsRead demands that the translators name each field that the table
// says they read: one that they forgot would be dropped in silence.
func TestEveryFieldIsRead(t *testing.T) {
	code := dialecttest.Code(t)
	for name, read := range treatments {
		for field := range read {
			if !strings.Contains(code, strconv.Quote(field)) {
				t.Errorf("no translator reads %s.%s", name, field)
			}
		}
	}
}

// TestFormats holds the table of formats to the names of types that documents reach.
func TestFormats(t *testing.T) {
	names := map[string]bool{}
	reached := map[string]reflect.Type{}
	for _, k := range kinds {
		reach(k.spec, reached)
	}
	for _, of := range reached {
		for _, m := range members(of) {
			e := m.of
			for e.Kind() == reflect.Pointer || e.Kind() == reflect.Slice {
				e = e.Elem()
			}
			names[e.Name()] = true
		}
	}
	for name := range formats {
		if !names[name] {
			t.Errorf("no field has the type %s", name)
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
	for name, u := range fields {
		for field := range u.refuses {
			if !strings.Contains(string(page), "`"+field+"`") {
				t.Errorf("docs/status.md does not say that %s.%s is refused", name, field)
			}
		}
	}
	for _, k := range kinds {
		if !strings.Contains(string(page), k.name) {
			t.Errorf("docs/status.md does not say that %s is read", k.name)
		}
	}
}
