package kubernetes

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"

	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// Audiences that tokens are made for: one for another audience, such as the API
// server's own, is refused.
const (
	AudienceCA      = "mesh-compile-ca"
	AudienceDeliver = "mesh-compile-deliver"
)

// Account is whose a token is.
type Account struct {
	Namespace, Name string // of the service account
	Pod, PodUID     string
	Node            string // "" where the API server does not say
}

// Reviewer asks the API server about tokens for one audience.
type Reviewer struct {
	reviews  authenticationclient.TokenReviewInterface
	audience string
	domain   spiffeid.TrustDomain
}

// NewReviewer returns a reviewer of tokens whose identities are of a trust domain.
func NewReviewer(config *rest.Config, audience, trustDomain string) (*Reviewer, error) {
	domain, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, fmt.Errorf("preparing to review tokens: %w", err)
	}
	client, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing to review tokens: %w", err)
	}
	return &Reviewer{reviews: client.TokenReviews(), audience: audience, domain: domain}, nil
}

// reviewTimeout is how long the API server may take.
const reviewTimeout = 5 * time.Second

// Review returns whose a token is. An error that wraps [peer.ErrRefused] is the API
// server's answer, or what we make of it.
func (r *Reviewer) Review(ctx context.Context, token string) (Account, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review, err := r.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{r.audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return Account{}, fmt.Errorf("reviewing a token: %w", err)
	}
	a, err := accountOf(&review.Status, r.audience)
	if err != nil {
		return Account{}, fmt.Errorf("%w: %w", peer.ErrRefused, err)
	}
	return a, nil
}

// Names and groups of service accounts, and what TokenReview says of bound tokens
// (k8s.io/apiserver/pkg/authentication/serviceaccount/util.go).
const (
	userPrefix  = "system:serviceaccount:"
	groupPrefix = "system:serviceaccounts:"
	extraPod    = "authentication.kubernetes.io/pod-name"
	extraPodUID = "authentication.kubernetes.io/pod-uid"
	extraNode   = "authentication.kubernetes.io/node-name"
)

// accountOf reads an answer. Other authenticators of the API server may be made to
// answer with any name: the group and the pod are for service accounts alone. A
// token without a pod, such as those of old Secrets, ends with nothing.
func accountOf(s *authenticationv1.TokenReviewStatus, audience string) (Account, error) {
	if !s.Authenticated || s.Error != "" {
		return Account{}, fmt.Errorf("the API server does not take it: %.500s", or(s.Error, "it is nobody's, or has expired"))
	}
	// A server that knows nothing of audiences says none.
	if !slices.Contains(s.Audiences, audience) {
		return Account{}, fmt.Errorf("it is for %.500q, want audience %q", s.Audiences, audience)
	}
	name, ok := strings.CutPrefix(s.User.Username, userPrefix)
	namespace, name, colon := strings.Cut(name, ":")
	if !ok || !colon || namespace == "" || name == "" || !slices.Contains(s.User.Groups, groupPrefix+namespace) {
		return Account{}, fmt.Errorf("it is %.500q's, want a service account's", s.User.Username)
	}
	a := Account{Namespace: namespace, Name: name, Pod: one(s.User.Extra[extraPod]), PodUID: one(s.User.Extra[extraPodUID]), Node: one(s.User.Extra[extraNode])}
	if a.Pod == "" || a.PodUID == "" {
		return Account{}, fmt.Errorf("it is service account %s/%s's and bound to no pod: want a projected token", namespace, name)
	}
	return a, nil
}

func one(values authenticationv1.ExtraValue) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// spiffeID returns the identity of an account. A name that is none in a SPIFFE ID
// is refused.
func (r *Reviewer) spiffeID(a Account) (spiffeid.ID, error) {
	id, err := spiffeid.FromSegments(r.domain, "ns", a.Namespace, "sa", a.Name)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("%w: service account %s/%s: %w", peer.ErrRefused, a.Namespace, a.Name, err)
	}
	return id, nil
}

// Peer returns the client that shows a token; it is a [peer.Review].
func (r *Reviewer) Peer(ctx context.Context, token string) (peer.Peer, error) {
	a, err := r.Review(ctx, token)
	if err != nil {
		return peer.Peer{}, err
	}
	id, err := r.spiffeID(a)
	return peer.Peer{ID: id, Expires: expiry(token)}, err
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

// Prover returns how the ca role knows whom to issue to. Service accounts of serving,
// "namespace/name", get the certificate of a server by these names and no identity.
func (r *Reviewer) Prover(serving map[string][]string) identity.Prove {
	return func(ctx context.Context, token string, _ []byte) (identity.Grant, error) {
		a, err := r.Review(ctx, token)
		if err != nil {
			return identity.Grant{}, err
		}
		g := identity.Grant{Names: serving[a.Namespace+"/"+a.Name], Holder: a.PodUID, Audit: a.audit()}
		if len(g.Names) == 0 {
			g.ID, err = r.spiffeID(a)
		}
		return g, err
	}
}

func (a Account) audit() []slog.Attr {
	return []slog.Attr{
		slog.String("serviceAccount", a.Namespace+"/"+a.Name), slog.String("pod", a.Pod), slog.String("podUID", a.PodUID), slog.String("node", a.Node),
	}
}
