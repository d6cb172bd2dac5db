package load

import (
	"bytes"
	"fmt"
	"testing"
	"testing/fstest"
)

func benchRepo(files, rules int) fstest.MapFS {
	m := fstest.MapFS{}
	for i := range files {
		var b bytes.Buffer
		fmt.Fprintf(&b, "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata:\n  name: service-%d\n  namespace: shop\nspec:\n  service: service-%d\n  rules:\n", i, i)
		for r := range rules {
			fmt.Fprintf(&b, `  - name: rule-%d
    match:
    - path:
        prefix: /service/%d/rule/%d
      methods: [GET, POST]
      headers:
        x-tenant:
          exact: tenant-%d
        user-agent:
          regex: ".*Chrome.*"
    timeout: 800ms
    retry:
      attempts: 2
      perTryTimeout: 300ms
      conditions: [connect-failure, reset]
      statuses: [503]
    to:
    - version: v1
      weight: 90
    - version: v2
      weight: 10
`, r, i, r, r)
		}
		m[fmt.Sprintf("svc/%d.yaml", i)] = &fstest.MapFile{Data: b.Bytes()}
	}
	return m
}

func BenchmarkLoad(b *testing.B) {
	repo := benchRepo(1000, 10)
	var size int64
	for _, f := range repo {
		size += int64(len(f.Data))
	}
	b.Run("cold", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			res, diags := Load(repo, Options{})
			if len(diags) > 0 || len(res.Documents) != 1000 {
				b.Fatal(len(res.Documents), diags)
			}
		}
	})
	b.Run("previous", func(b *testing.B) {
		previous, _ := Load(repo, Options{})
		b.ReportAllocs()
		for b.Loop() {
			Load(repo, Options{Previous: previous})
		}
	})
}
