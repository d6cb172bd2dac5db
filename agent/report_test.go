package agent

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/identity"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// TestReportOfAnyWords: Envoy's words quote configuration and are cut, and a
// controller's are whatever it likes.
func TestReportOfAnyWords(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"", "no", strings.Repeat("x", maxWords-1) + "é", "\xff\xfe", strings.Repeat("\xe2\x82\xac", maxWords)} {
		report := new(Agent).newReport(deliveryv1.ReportRequest_STATE_REJECTED, "envoy-refused", words)
		if _, err := proto.Marshal(report); err != nil {
			t.Errorf("%.20q of %d bytes: %v", words, len(words), err)
		}
		if len(report.GetError()) > maxWords {
			t.Errorf("%.20q: %d bytes are sent", words, len(report.GetError()))
		}
	}
}

// TestCertificateToRenewAtOnce: the root has half a minute left, and the issuer
// dates certificates back by one.
func TestCertificateToRenewAtOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		before, after time.Duration
		want          bool
	}{{-time.Minute, 24 * time.Hour, true}, {-time.Second, 10 * time.Second, true}, {-time.Minute, 30 * time.Second, false}, {-1e6 * time.Hour, time.Hour, false}} {
		leaf := &identity.Credential{Leaf: &x509.Certificate{NotBefore: now.Add(c.before), NotAfter: now.Add(c.after)}}
		if got := lasts(leaf, now); got != c.want {
			t.Errorf("valid from %s to %s from now: lasts %t, want %t", c.before, c.after, got, c.want)
		}
	}
}
