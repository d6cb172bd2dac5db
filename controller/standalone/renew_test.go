package standalone

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// TestIdentityThatIsGone: a workload that was taken out of the policies keeps its
// certificate until it expires, and gets no other by it.
func TestIdentityThatIsGone(t *testing.T) {
	r := newSite(t).start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	renew := func() error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = deliveryv1.NewIdentityClient(a.dial()).Issue(a.ctx(), &deliveryv1.IssueRequest{Csr: csr})
		return err
	}
	_, rest, _ := strings.Cut(shopFiles["workloads.yaml"], "---\n")
	r.write(t, "workloads.yaml", rest) // without order
	r.awaitSequence(t, 2)
	if err := renew(); err != nil {
		t.Errorf("one release later, which may be a slip: %v", err)
	}
	r.write(t, "route.yaml", route(80))
	r.awaitSequence(t, 3)
	if err := renew(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("two releases later: %v", err)
	}
}

// TestStateDirectoryOfOthers: a local user who can write there could add a token.
func TestStateDirectoryOfOthers(t *testing.T) {
	s := newSite(t)
	if err := os.Chmod(s.state, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), s.config); err == nil || !strings.Contains(err.Error(), "lets everyone write") {
		t.Errorf("got %v", err)
	}
}
