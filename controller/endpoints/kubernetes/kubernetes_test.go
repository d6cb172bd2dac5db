package kubernetes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// asRole returns the credentials of the deliver role as it is deployed.
func asRole(t *testing.T, c *kubetest.Cluster) *rest.Config {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "deploy/base/deliver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace(t, "mesh-system", nil)
	rights := regexp.MustCompile(`(?m)^kind: (ServiceAccount|(Cluster)?Role(Binding)?)$`)
	for _, doc := range strings.Split(string(data), "\n---\n") {
		if rights.MatchString(doc) {
			c.Apply(t, doc)
		}
	}
	return kubetest.Load(t, c.As(t, "mesh-system", "mesh-deliver"))
}

// started is a source that runs, and its table.
type started struct {
	*Source
	table *endpoints.Table
}

func start(t *testing.T, config *rest.Config) started {
	t.Helper()
	s, table := newSource(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return started{s, table}
}

// await waits until a cluster has these addresses, and fails when it is ever told
// to have none.
func (s started) await(t *testing.T, cluster string, want ...string) {
	t.Helper()
	kubetest.Until(t, func(context.Context) error {
		found, ok := s.table.Get(cluster)
		if ok && len(found) == 0 && len(want) > 0 {
			t.Fatalf("%s is told to have no endpoints", cluster)
		}
		var got []string
		for _, e := range found {
			got = append(got, e.Address.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("%s (-want +got):\n%s", cluster, diff)
		}
		return nil
	})
}

func TestAPIServer(t *testing.T) {
	c := kubetest.Start(t)
	config := asRole(t, c)
	c.Namespace(t, "shop", nil)
	c.Apply(t, `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec:
  clusterIP: None
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Node
metadata: {name: node, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}}
`)
	pod := func(name, version string) kubetest.Pod {
		return c.RunPod(t, kubetest.Pod{Namespace: "shop", Name: name, Labels: map[string]string{"app": "catalog", "version": version}})
	}
	one, two := pod("one", "v1"), pod("two", "v2")
	const all, v1, headless = "outbound|80||catalog.shop", "outbound|80|v1|catalog.shop", "outbound|80||headless.shop"
	s := start(t, config)
	s.Set(discovery(t, []byte(`{"version":1,"services":[
		{"namespace":"shop","name":"catalog","clusters":[
			{"name":"outbound|80|v1|catalog.shop","portName":"http","targets":[8080],"selector":{"version":"v1"}},
			{"name":"outbound|80||catalog.shop","portName":"http","targets":[8080]}]},
		{"namespace":"shop","name":"headless","clusters":[{"name":"outbound|80||headless.shop","portName":"http","targets":[8080]}]}]}`)))
	s.await(t, all, one.IP, two.IP)
	s.await(t, v1, one.IP)
	s.await(t, headless, one.IP, two.IP)
	if got, _ := s.table.Get(v1); !s.Synced() || got[0].Locality != "eu/eu-a" || got[0].Port != 8080 {
		t.Errorf("synced %t, %+v", s.Synced(), got)
	}
	if err := c.SetReady(t.Context(), "shop", "two", false); err != nil {
		t.Fatal(err)
	}
	s.await(t, all, one.IP)
	three := pod("three", "v1")
	s.await(t, v1, one.IP, three.IP)
	relabel := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"version":"v9"}}}`))
	if err := c.Client.Patch(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "three"}}, relabel); err != nil {
		t.Fatal(err)
	}
	s.await(t, v1, one.IP)

	c.KillAPIServer(t)
	s.await(t, all, one.IP, three.IP) // what is known stays
	c.StartAPIServer(t)
	four := pod("four", "v1")
	s.await(t, v1, one.IP, four.IP)
	s.await(t, all, one.IP, three.IP, four.IP)
}

// TestChurn: pods that come and go together are told of soon, in few steps.
func TestChurn(t *testing.T) {
	c := kubetest.Start(t)
	c.Namespace(t, "churn", nil)
	const service = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: churn}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 8080}]
`
	c.Apply(t, service)
	s := start(t, c.Config)
	const all = "outbound|80||catalog.churn"
	s.Set(discovery(t, []byte(`{"version":1,"services":[{"namespace":"churn","name":"catalog","clusters":[{"name":"`+all+`","portName":"http","targets":[8080]}]}]}`)))
	const pods = 40
	for i := range pods {
		c.RunPod(t, kubetest.Pod{Namespace: "churn", Name: fmt.Sprint("p", i), Labels: map[string]string{"app": "catalog"}})
	}
	s.awaitCount(t, c, all, pods)
	for i := range pods / 2 {
		if err := c.DeletePod(t.Context(), "churn", fmt.Sprint("p", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitCount(t, c, all, pods/2)
}

// awaitCount waits for the slices to have so many, and then, not for long, for the
// table.
func (s started) awaitCount(t *testing.T, c *kubetest.Cluster, cluster string, n int) {
	t.Helper()
	kubetest.Until(t, func(ctx context.Context) error {
		found, err := c.Endpoints(ctx, "churn", "catalog")
		if err == nil && len(found) != n {
			err = fmt.Errorf("%d endpoints in the slices, want %d", len(found), n)
		}
		return err
	})
	began := time.Now()
	kubetest.Within(t, 5*time.Second, func(context.Context) error {
		if found, _ := s.table.Get(cluster); len(found) != n {
			return fmt.Errorf("%d endpoints in the table, want %d", len(found), n)
		}
		return nil
	})
	t.Logf("%d endpoints, %s after the slices", n, time.Since(began).Round(time.Millisecond))
}
