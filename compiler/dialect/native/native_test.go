package native

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

func TestGolden(t *testing.T) {
	dialecttest.Golden(t, "testdata/*.txtar", dialecttest.ByKind(Translators()))
}

func TestWrong(t *testing.T) {
	dialecttest.Wrong(t, "testdata/wrong/*.yaml", dialecttest.ByKind(Translators()))
}

func FuzzTranslate(f *testing.F) {
	dialecttest.Fuzz(f, dialecttest.ByKind(Translators()), "testdata/*.txtar", "testdata/wrong/*.yaml")
}

func TestEveryKind(t *testing.T) {
	for _, kind := range v1alpha1.Kinds() {
		if Translators()[v1alpha1.APIVersion+" "+kind.Kind] == nil {
			t.Errorf("kind %s has no translator", kind.Kind)
		}
	}
}

// TestEveryField demands that the source names each field of each kind: a field
// that no translator reads would be dropped in silence.
func TestEveryField(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source bytes.Buffer
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	for _, kind := range v1alpha1.Kinds() {
		if kind.Kind == "PolicySync" {
			continue // the controller's: its shape is checked, it changes no release
		}
		spec, _ := reflect.TypeOf(kind.New()).Elem().FieldByName("Spec")
		for name := range fieldNames(spec.Type, map[reflect.Type]bool{}) {
			if !bytes.Contains(source.Bytes(), []byte(strconv.Quote(name))) && !underUnsupported[name] {
				t.Errorf("%s: no translator reads field %s", kind.Kind, name)
			}
		}
	}
}

// underUnsupported are fields of objects that are refused as a whole.
var underUnsupported = map[string]bool{
	"audiences": true, "cacheDuration": true, "claims": true, "claimsToHeaders": true, "inline": true, "issuer": true, "jwks": true, "uri": true,
	"authorizers": true, "rateLimits": true, "telemetry": true, "type": true, "timeout": true, "provider": true, "package": true, "data": true,
	"listener": true, "route": true, "routes": true, "failover": true, "weights": true, "threshold": true,
	"minHosts": true, "requestVolume": true, "stdevFactor": true,
}

func fieldNames(t reflect.Type, seen map[reflect.Type]bool) map[string]bool {
	names := map[string]bool{}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return names
	}
	seen[t] = true
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names[name] = true
		}
		for name := range fieldNames(t.Field(i).Type, seen) {
			names[name] = true
		}
	}
	return names
}
