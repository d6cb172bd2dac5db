package kubetest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// TestNamespaces: pods' and services' addresses take connections, and /proc is this namespace's.
func TestNamespaces(t *testing.T) {
	kubetest.Start(t)
	for _, ip := range []string{"127.0.0.1", kubetest.PodIP(), "10.0.3.4"} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Error(err)
			continue
		}
		defer l.Close()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			continue
		}
		conn.Close()
	}
	if self, err := os.Readlink("/proc/self"); err != nil || self != fmt.Sprint(os.Getpid()) {
		t.Errorf("/proc/self is %s, %v; this is process %d", self, err, os.Getpid())
	}
	kubetest.Host(t, "mesh-deliver.mesh-system.svc", "10.0.3.4")
	kubetest.Until(t, func(ctx context.Context) error { // resolvers look at the file every five seconds
		found, err := net.DefaultResolver.LookupHost(ctx, "mesh-deliver.mesh-system.svc")
		if err == nil && !slices.Equal(found, []string{"10.0.3.4"}) {
			err = fmt.Errorf("found %v", found)
		}
		return err
	})
}

// TestCluster: CRDs are there, service accounts have no rights, tokens are bound to pods, endpoint
// slices follow pods, and a namespace goes away.
func TestCluster(t *testing.T) {
	c := kubetest.Start(t)
	if out := c.Kubectl(t, "get", "crd", "meshroutes.mesh-compile.dev"); !strings.Contains(out, "meshroutes") {
		t.Errorf("kubectl says %s", out)
	}
	c.Namespace(t, "shop", nil)

	nobody, err := client.New(kubetest.Load(t, c.As(t, "shop", "nobody")), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
		t.Errorf("an account without rights lists secrets: %v", err)
	}

	pod := c.RunPod(t, kubetest.Pod{Namespace: "shop", Name: "catalog-0", ServiceAccount: "catalog", Labels: map[string]string{"app": "catalog"}})
	token := c.Token(t, kubetest.TokenRequest{Namespace: "shop", ServiceAccount: "catalog", Audience: "mesh-compile-ca", Pod: "catalog-0"})
	reviewed := review(t, c, token, "mesh-compile-ca")
	if got := reviewed.User.Extra["authentication.kubernetes.io/pod-name"]; !reviewed.Authenticated || !slices.Equal(got, []string{"catalog-0"}) {
		t.Errorf("the token's review is %+v", reviewed)
	}
	if other := review(t, c, token, "other"); other.Authenticated {
		t.Error("a token for mesh-compile-ca is good for another audience")
	}

	c.Apply(t, "apiVersion: v1\nkind: Service\nmetadata: {name: catalog, namespace: shop}\nspec: {selector: {app: catalog}, ports: [{port: 80}]}\n")
	endpoints := func(want ...string) {
		t.Helper()
		kubetest.Until(t, func(ctx context.Context) error {
			got, err := c.Endpoints(ctx, "shop", "catalog")
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("endpoints are %v, want %v", got, want)
			}
			return err
		})
	}
	endpoints(pod.IP)
	if err := c.SetReady(t.Context(), "shop", "catalog-0", false); err != nil {
		t.Fatal(err)
	}
	endpoints()

	c.Kubectl(t, "delete", "namespace", "shop")
}

func review(t *testing.T, c *kubetest.Cluster, token, audience string) authenticationv1.TokenReviewStatus {
	t.Helper()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	if err := c.Client.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status
}

// TestRestart: what was written before the API server died is there afterwards.
func TestRestart(t *testing.T) {
	c := kubetest.Start(t)
	c.Namespace(t, "kept", nil)
	c.KillAPIServer(t)
	c.StartAPIServer(t)
	if err := c.Client.Get(t.Context(), client.ObjectKey{Name: "kept"}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{}}); err != nil {
		t.Error(err)
	}
}
