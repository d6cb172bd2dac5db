package review

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"k8s.io/client-go/kubernetes"

	"github.com/mesh-compile/mesh-compile/controller/peer"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// TestTokens: the API server's own tokens, and what is not one of ours.
func TestTokens(t *testing.T) {
	c := kubetest.Start(t)
	c.Namespace(t, "review", nil)
	ours := kubetest.TokenRequest{Namespace: "review", ServiceAccount: "catalog", Audience: "mesh", Pod: "catalog-0"}
	c.Token(t, kubetest.TokenRequest{Namespace: "review", ServiceAccount: "catalog"}) // makes the account
	c.RunPod(t, kubetest.Pod{Namespace: "review", Name: "catalog-0", ServiceAccount: "catalog"})
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	review := Tokens(client.AuthenticationV1().TokenReviews(), "mesh", spiffeid.RequireTrustDomainFromString("shop.example"))
	token := c.Token(t, ours)
	p, err := review(t.Context(), token)
	if err != nil || p.ID.String() != "spiffe://shop.example/ns/review/sa/catalog" {
		t.Fatalf("%v, %v", p.ID, err)
	}
	if left := time.Until(p.Expires); left < time.Minute || left > 2*kubetest.TokenSeconds*time.Second {
		t.Errorf("expires in %s", left)
	}
	unbound, other := ours, ours
	unbound.Pod, other.Audience = "", "another"
	for name, token := range map[string]string{
		"not bound to a pod": c.Token(t, unbound),
		"another audience":   c.Token(t, other),
		"no token":           "x.y.z",
		"altered":            token[:len(token)-4] + "AAAA",
	} {
		if p, err := review(t.Context(), token); !errors.Is(err, peer.ErrRefused) {
			t.Errorf("%s: %v, %v", name, p.ID, err)
		}
	}
	if err := c.DeletePod(t.Context(), "review", "catalog-0"); err != nil {
		t.Fatal(err)
	}
	kubetest.Until(t, func(ctx context.Context) error { // the API server remembers for ten seconds
		if p, err := review(ctx, token); !errors.Is(err, peer.ErrRefused) {
			return fmt.Errorf("the token of a pod that is gone: %v, %v", p.ID, err)
		}
		return nil
	})
}
