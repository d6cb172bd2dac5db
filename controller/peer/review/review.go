// Package review asks the API server whose token it is.
//
// In goes a bearer token; out comes the SPIFFE ID of the service account that it is
// of, if it is for our audience and bound to a pod. It believes the API server's
// TokenReview alone and keeps nothing: [peer.Tokens] remembers answers.
package review

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"

	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// Tokens returns what reviews tokens for an audience, whose service accounts are
// workloads of a trust domain.
func Tokens(client authenticationclient.TokenReviewInterface, audience string, domain spiffeid.TrustDomain) peer.Review {
	return func(ctx context.Context, token string) (peer.Peer, error) {
		answer, err := client.Create(ctx, &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}},
		}, metav1.CreateOptions{})
		if err != nil {
			return peer.Peer{}, fmt.Errorf("asking the API server for a TokenReview: %w", err)
		}
		id, err := identityOf(&answer.Status, audience, domain)
		if err != nil {
			return peer.Peer{}, err
		}
		return peer.Peer{ID: id, Expires: expiry(token)}, nil
	}
}

// podName is the key under which a TokenReview says what a token is bound to.
const podName = "authentication.kubernetes.io/pod-name"

// identityOf reads an answer. A server that does not know audiences answers without
// any, and takes tokens for itself.
func identityOf(s *authenticationv1.TokenReviewStatus, audience string, domain spiffeid.TrustDomain) (spiffeid.ID, error) {
	account, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	namespace, name, two := strings.Cut(account, ":")
	switch {
	case !s.Authenticated:
		return spiffeid.ID{}, fmt.Errorf("%w: the API server does not know it", peer.ErrRefused)
	case !slices.Contains(s.Audiences, audience):
		return spiffeid.ID{}, fmt.Errorf("%w: it is not for audience %s", peer.ErrRefused, audience)
	case !ok || !two:
		return spiffeid.ID{}, fmt.Errorf("%w: it is %.100q's, which is no service account", peer.ErrRefused, s.User.Username)
	case len(s.User.Extra[podName]) != 1:
		return spiffeid.ID{}, fmt.Errorf("%w: it is not bound to a pod", peer.ErrRefused)
	}
	id, err := spiffeid.FromSegments(domain, "ns", namespace, "sa", name)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("%w: %w", peer.ErrRefused, err)
	}
	return id, nil
}

// expiry reads when a token ends, which the answer does not say. The API server has
// verified it; one that does not say is of time zero.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var said struct {
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(claims, &said) != nil || said.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(said.Exp, 0)
}
