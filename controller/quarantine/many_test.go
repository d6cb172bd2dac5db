package quarantine

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

const meshWithWorkload = `
apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec:
  trustDomain: shop.example
  invariants: {never: [{name: strangers, from: {anyone: true}, to: {service: x, namespace: other}, access: allow}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: a, namespace: shop}
spec: {service: a, ports: [{port: 8080, protocol: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: x, namespace: other}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {serviceAccountName: x, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
`

const deletedFacts = `
apiVersion: v1
kind: Service
metadata: {name: x, namespace: other}
spec: {selector: {app: x}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: old, namespace: shop}
---
`

const newDeny = `
apiVersion: mesh-compile.dev/v1alpha1
kind: AccessPolicy
metadata: {name: deny, namespace: shop}
spec: {service: a, deny: [{name: d, from: {anyone: true}, to: {paths: [{prefix: /admin}]}}]}
---
`

func archive(parts map[string]string) func(string) []byte {
	a := &txtar.Archive{}
	for name, text := range parts {
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
	}
	return section(a)
}

// repeated writes an object n times with its number.
func repeated(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n---\n", i, i+1)
	}
	return b.String()
}

// However many objects of a namespace are held back, another one loses nothing by it.
func TestManyHeld(t *testing.T) {
	const n = 2 * maxTrials
	workload := "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshWorkload\nmetadata: {name: w%d, namespace: other}\nspec: {service: s%[1]d, ports: [{port: 8080, protocol: http}]}"
	route := "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: r%d, namespace: other}\nspec: {service: s%[1]d, rules: [{name: all, to: [{service: "
	_, in := settled(t, archive(map[string]string{
		"both":     meshWithWorkload + repeated(n, workload),
		"accepted": deletedFacts + repeated(n, route+"s%[1]d}]}]}"),
		"current":  newDeny + repeated(n, route+"nobody}]}]}"),
	}))
	compiled := 0
	compile := in.Compile
	in.Compile = func(set *objects.Set, kept func(string) bool) *compiler.Result {
		compiled++
		return compile(set, kept)
	}
	out := Settle(in)
	if out.Refused != nil || len(out.Held) != n+1 {
		t.Fatalf("%d are held back, want %d: %v", len(out.Held), n+1, out.Refused)
	}
	for _, h := range out.Held {
		if h.Object.Namespace != "other" {
			t.Errorf("%s is held back for another namespace's errors: %s", h.Object, h.Message)
		}
	}
	if most := 2*maxTrials + maxPasses; compiled > most {
		t.Errorf("%d compilations, want at most %d", compiled, most)
	}
}

// Errors that follow one from another end with their namespace.
func TestChain(t *testing.T) {
	workload := "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshWorkload\nmetadata: {name: w%d, namespace: other}\nspec: {service: s%[1]d, ports: [{port: 8080, protocol: http}], uses: [{service: s%[2]d}]}"
	_, in := settled(t, archive(map[string]string{"both": meshWithoutInvariants, "current": newDeny + repeated(5*maxPasses, workload)}))
	out := Settle(in)
	if out.Refused != nil || len(out.Held) != 5*maxPasses {
		t.Fatalf("%d are held back, want %d: %v", len(out.Held), 5*maxPasses, out.Refused)
	}
	for _, h := range out.Held {
		if h.Object.Namespace != "other" {
			t.Errorf("%s is held back: %s", h.Object, h.Message)
		}
	}
}

const meshWithoutInvariants = `
apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: a, namespace: shop}
spec: {service: a, ports: [{port: 8080, protocol: http}]}
---
`
