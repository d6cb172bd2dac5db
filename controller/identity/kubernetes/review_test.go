package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/mesh-compile/mesh-compile/controller/peer"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const trustDomain = "shop.example"

// The API server's own tokens, and what is not one of ours.
func TestReview(t *testing.T) {
	t.Parallel()
	c := kubetest.Start(t)
	systemNamespace(t, c)
	c.Namespace(t, "review", nil)
	ours := kubetest.TokenRequest{Namespace: "review", ServiceAccount: "catalog", Audience: AudienceCA, Pod: "catalog-0"}
	c.Token(t, kubetest.TokenRequest{Namespace: "review", ServiceAccount: "catalog"}) // makes the account
	c.RunPod(t, kubetest.Pod{Namespace: "review", Name: "catalog-0", ServiceAccount: "catalog"})
	r, err := NewReviewer(kubetest.Load(t, c.AsDeployed(t, "base/ca.yaml", systemName, "mesh-ca")), AudienceCA, trustDomain)
	if err != nil {
		t.Fatal(err)
	}
	token := c.Token(t, ours)
	a, err := r.Review(t.Context(), token)
	if err != nil || a.Namespace != "review" || a.Name != "catalog" || a.Pod != "catalog-0" || a.PodUID == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	p, err := r.Peer(t.Context(), token)
	if err != nil || p.ID.String() != "spiffe://shop.example/ns/review/sa/catalog" {
		t.Fatalf("%v, %v", p.ID, err)
	}
	if left := time.Until(p.Expires); left < time.Minute || left > 2*kubetest.TokenSeconds*time.Second {
		t.Errorf("expires in %s", left)
	}
	unbound, other, theirs := ours, ours, ours
	unbound.Pod, other.Audience, theirs.Audience = "", AudienceDeliver, ""
	for name, token := range map[string]string{
		"not bound to a pod":       c.Token(t, unbound),
		"for another role":         c.Token(t, other),
		"for the API server alone": c.Token(t, theirs),
		"no token":                 "x.y.z",
		"altered":                  token[:len(token)-4] + "AAAA",
	} {
		if a, err := r.Review(t.Context(), token); !errors.Is(err, peer.ErrRefused) {
			t.Errorf("%s: %+v, %v", name, a, err)
		} else if strings.Contains(err.Error(), token) {
			t.Errorf("%s: the message has the token: %v", name, err)
		}
	}
	if err := c.DeletePod(t.Context(), "review", "catalog-0"); err != nil {
		t.Fatal(err)
	}
	kubetest.Until(t, func(ctx context.Context) error { // the API server remembers for ten seconds
		if a, err := r.Review(ctx, token); !errors.Is(err, peer.ErrRefused) {
			return fmt.Errorf("the token of a pod that is gone: %+v, %v", a, err)
		}
		return nil
	})
}

// Answers that this API server does not give, and others may.
func TestAccountOf(t *testing.T) {
	good := func() *authenticationv1.TokenReviewStatus {
		return &authenticationv1.TokenReviewStatus{
			Authenticated: true, Audiences: []string{AudienceCA},
			User: authenticationv1.UserInfo{
				Username: "system:serviceaccount:shop:order", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"},
				Extra: map[string]authenticationv1.ExtraValue{extraPod: {"order-0"}, extraPodUID: {"1-2-3"}, extraNode: {"node"}},
			},
		}
	}
	if a, err := accountOf(good(), AudienceCA); err != nil || a != (Account{"shop", "order", "order-0", "1-2-3", "node"}) {
		t.Fatalf("%+v, %v", a, err)
	}
	for name, edit := range map[string]func(*authenticationv1.TokenReviewStatus){
		"not authenticated":         func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false },
		"an error":                  func(s *authenticationv1.TokenReviewStatus) { s.Error = "expired" },
		"no audience":               func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil },
		"another audience":          func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"https://kubernetes.default.svc"} },
		"a user":                    func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "ada" },
		"a node":                    func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:node:shop:order" },
		"no account":                func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:shop:" },
		"no namespace":              func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount::order" },
		"no colon":                  func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:shop" },
		"an OIDC user of that name": func(s *authenticationv1.TokenReviewStatus) { s.User.Groups = []string{"system:authenticated"} },
		"another namespace's group": func(s *authenticationv1.TokenReviewStatus) { s.User.Groups = []string{"system:serviceaccounts:other"} },
		"no pod":                    func(s *authenticationv1.TokenReviewStatus) { delete(s.User.Extra, extraPod) },
		"no pod's UID":              func(s *authenticationv1.TokenReviewStatus) { delete(s.User.Extra, extraPodUID) },
		"two pods": func(s *authenticationv1.TokenReviewStatus) {
			s.User.Extra[extraPod] = authenticationv1.ExtraValue{"a", "b"}
		},
	} {
		s := good()
		edit(s)
		if a, err := accountOf(s, AudienceCA); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestParseServing(t *testing.T) {
	got, err := ParseServing([]string{"mesh-system/mesh-deliver=mesh-deliver.mesh-system.svc,10.0.0.9", "a/b=c"})
	if err != nil || len(got) != 2 || strings.Join(got["mesh-system/mesh-deliver"], " ") != "mesh-deliver.mesh-system.svc 10.0.0.9" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a/b", "a=b", "a/b=", "a/b=*.svc", "a/b=c,,d", "A/b=c", "a/b=c d", "/b=c", "a/=c"} {
		if got, err := ParseServing([]string{bad}); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	if _, err := ParseServing([]string{"a/b=c", "a/b=d"}); err == nil {
		t.Error("one account twice")
	}
}
