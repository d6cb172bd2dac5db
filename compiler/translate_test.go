package compiler_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler"
)

// TestSameMeaning: what a document says that no policy reads makes it no other.
func TestSameMeaning(t *testing.T) {
	deployment := func(replicas int, image, port string) fstest.MapFS {
		return fstest.MapFS{"a.yaml": {Data: fmt.Appendf(nil, `apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
      - image: %s
        name: app
        ports: [{containerPort: %s}]
`, replicas, image, port)}}
	}
	before, _ := compiler.Compile(deployment(9, "app:1", "8080"), compiler.Options{})
	for _, edit := range []struct {
		files fstest.MapFS
		same  bool
	}{
		{deployment(10, "app:1", "8080"), true},
		{deployment(9, "app:2-longer", "8080"), true},
		{deployment(9, "app:1", "8081"), false},
	} {
		after, _ := compiler.Compile(edit.files, compiler.Options{Previous: before})
		if same := after.Fragments()[0] == before.Fragments()[0]; same != edit.same {
			t.Errorf("the same %t, want %t:\n%s", same, edit.same, edit.files["a.yaml"].Data)
		}
	}
}
