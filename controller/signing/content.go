package signing

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Limits say what this role signs whatever it is asked to.
type Limits struct {
	// TrustDomain of every identity in a release.
	TrustDomain string
	// Roots are the X.509 roots that a release may give to proxies. A release must
	// have at least one. Any are signed where there are none.
	Roots []*x509.Certificate
}

// refusal is why a content is not signed, however often it is asked for.
type refusal struct{ error }

// check holds a content to the limits.
func (l Limits) check(r *artifact.Release) error {
	domain, err := spiffeid.TrustDomainFromString(l.TrustDomain)
	if err != nil {
		return err
	}
	for _, leaf := range r.Leaves() {
		id, err := spiffeid.FromString(leaf.SPIFFEID)
		if err != nil {
			return refusal{fmt.Errorf("workload %s: %w", leaf.Workload, err)}
		}
		if !id.MemberOf(domain) {
			return refusal{fmt.Errorf("workload %s is %s, the root document is for trust domain %s: set trustDomain in the Mesh document", leaf.Workload, id, domain)}
		}
	}
	return l.checkBundle(r)
}

func (l Limits) checkBundle(r *artifact.Release) error {
	if len(l.Roots) == 0 {
		return nil
	}
	var bundle []byte
	if d, ok := r.Shared(artifact.TrustBundle); ok {
		bundle, _ = r.Blob(d)
	}
	roots, err := Certificates(bundle)
	if err != nil {
		return refusal{fmt.Errorf("the trust bundle of the release: %w", err)}
	}
	for _, root := range roots {
		if !slices.ContainsFunc(l.Roots, root.Equal) {
			return refusal{fmt.Errorf("the trust bundle of the release holds %q (serial %x), which this role was not given: proxies would accept whoever it certifies; add it to --trust-bundle if they shall", root.Subject, root.SerialNumber)}
		}
	}
	return nil
}

// Certificates reads a PEM bundle of at least one certificate and nothing else.
func Certificates(bundle []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a PEM block %q, want certificates", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return out, nil
}
