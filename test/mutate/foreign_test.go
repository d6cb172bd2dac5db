package mutate_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/gatewayapi"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/istio"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/linkerd"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
)

// TestEveryForeignFieldIsThere holds the repositories of the other dialects to the
// tables by which their documents are judged: each field that is supported is written
// there, so that TestNothingIsDropped changes it.
func TestEveryForeignFieldIsThere(t *testing.T) {
	kinds := slices.Concat(istio.Reference(), gatewayapi.Reference(), linkerd.Reference())
	written := map[string]bool{}
	for _, dir := range []string{"istio", "gatewayapi", "linkerd"} {
		for _, docs := range parse(t, dir, os.DirFS(filepath.Join("testdata", dir))).files {
			for _, doc := range docs {
				for _, k := range kinds {
					if spec := child(doc, "spec"); kindOf(doc) == k.Kind && spec != nil && isVersion(doc, k) {
						mark(spec, k.Objects[0].Name, k, written)
					}
				}
			}
		}
	}
	for _, k := range kinds {
		for _, o := range k.Objects {
			for _, f := range o.Fields {
				if name := o.Name + " " + f.Name; f.Support != translate.Refused && !written[name] && unwritten[name] == "" {
					written[name] = true // once
					t.Errorf("no %s of testdata has the field %s of %s", k.Kind, f.Name, o.Name)
				}
			}
		}
	}
}

// unwritten are fields that no document here can have, with why.
var unwritten = map[string]string{
	"AuthorizationPolicy provider":               custom,
	"AuthorizationPolicy.ExtensionProvider name": custom,
	"ClientTLSSettings clientCertificate":        mutual,
	"ClientTLSSettings privateKey":               mutual,
	"TLSMatchAttributes sourceLabels":            lines,
	"TLSMatchAttributes sourceNamespace":         lines,
	"L4MatchAttributes sourceLabels":             lines,
	"L4MatchAttributes sourceNamespace":          lines,
}

func init() {
	for why, list := range map[string]string{
		"parameters of a gateway are refused": "GatewayInfrastructure parametersRef;GatewayClassSpec parametersRef;" +
			"LocalParametersReference group;LocalParametersReference kind;LocalParametersReference name;" +
			"ParametersReference group;ParametersReference kind;ParametersReference name;ParametersReference namespace",
		"a condition with not is refused":        "RequestMatch not",
		"hosts of a Service's route are refused": "linkerdHTTPRouteSpec hostnames",
		"a Service or a Server has no sections":  "ParentReference sectionName",
	} {
		for name := range strings.SplitSeq(list, ";") {
			unwritten[name] = why
		}
	}
}

const (
	custom = "it belongs to action CUSTOM, which is refused"
	mutual = "it belongs to mode MUTUAL, which is refused"
	lines  = "connections by who calls are refused"
)

func isVersion(doc *yaml.Node, k translate.KindReference) bool {
	group, _, _ := strings.Cut(child(doc, "apiVersion").Value, "/")
	of, _, _ := strings.Cut(k.Versions[0], "/")
	return group == of
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// mark notes the fields of an object and of those within it.
func mark(n *yaml.Node, object string, k translate.KindReference, written map[string]bool) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			mark(item, object, k, written)
		}
		return
	case yaml.MappingNode:
	default:
		return
	}
	for _, o := range k.Objects {
		if o.Name != object {
			continue
		}
		for _, f := range o.Fields {
			value := child(n, f.Name)
			if value == nil {
				continue
			}
			written[object+" "+f.Name] = true
			switch {
			case f.Object == "":
			case strings.HasPrefix(f.Type, "object of "):
				for i := 1; i < len(value.Content); i += 2 {
					mark(value.Content[i], f.Object, k, written)
				}
			default:
				mark(value, f.Object, k, written)
			}
		}
	}
}
