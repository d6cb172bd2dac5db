package agent_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// load sends requests until stopped and returns what went wrong.
func (p *proxy) load() (stop func() (sent int, faults []string)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var sent int
	var faults []string
	address := net.JoinHostPort(p.ip, strconv.Itoa(int(p.slice.outbound)))
	client := http.Client{Timeout: 10 * time.Second}
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			sent++
			response, err := client.Get("http://" + address + "/")
			if err != nil {
				faults = append(faults, err.Error())
				continue
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				faults = append(faults, response.Status+" "+response.Header.Get("X-Envoy-Upstream-Service-Time"))
			}
		}
	})
	return func() (int, []string) {
		close(done)
		wg.Wait()
		return sent, faults
	}
}

// TestNoRequestFailsWhileClustersComeAndGo moves the route between clusters
// that the same release adds and removes, and changes every cluster as well.
func TestNoRequestFailsWhileClustersComeAndGo(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.endpoints("v1", "v2")
	p.slice.cluster = "v1"
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	stop := p.load()
	changes := uint64(50)
	if testing.Short() {
		changes = 10
	}
	for sequence := uint64(2); sequence < 2+changes; sequence++ {
		p.slice.cluster = []string{"v1", "v2"}[sequence%2]
		p.slice.timeout = time.Duration(1+sequence%5) * time.Second
		p.controller.publish(sequence, p.slice)
		p.live(sequence)
	}
	if sent, faults := stop(); len(faults) > 0 || sent < int(changes) {
		t.Errorf("%d of %d requests failed: %q", len(faults), sent, faults[:min(5, len(faults))])
	}
	if s := p.status(); s.Applied != 1+changes || s.Rejected != 0 {
		t.Errorf("%d applied, %d rejected", s.Applied, s.Rejected)
	}
}

// TestEnvoyRefuses signs what Envoy does not take: the agent must go back, keep
// the mark, say Envoy's words, and take the next release.
func TestEnvoyRefuses(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)

	for i, spoil := range []func(*parts){
		func(parts *parts) { // a listener with routes that Envoy's own rules refuse
			parts.routes[0].VirtualHosts = append(parts.routes[0].VirtualHosts, parts.routes[0].VirtualHosts[0])
		},
		func(parts *parts) { // clusters: a ring hash of no size
			c := parts.clusters[1]
			c.LbPolicy = clusterv3.Cluster_RING_HASH
			c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{
				HashFunction: 77,
			}}
		},
	} {
		bad := p.slice
		bad.header, bad.edit = "bad", spoil
		mark := uint64(2 + i)
		p.controller.publish(mark, bad)
		p.until(func() error {
			r := p.controller.report()
			if r.GetState() != deliveryv1.ReportRequest_STATE_REJECTED || r.GetSequence() != mark || !strings.Contains(r.GetError(), "envoy refuses") {
				return fmt.Errorf("reported %v", r)
			}
			return nil
		})
		if s := p.status(); s.Sequence != 1 || s.Mark != mark || !s.Ready {
			t.Errorf("after a refusal: %+v", s)
		}
		p.wantRelease("1")
	}
	p.slice.header = "9"
	p.controller.publish(9, p.slice)
	p.live(9)
	p.wantRelease("9")
}

// TestOPADecides asks the bundle about real requests, moves from RBAC to OPA
// and back under load, and shows that a killed agent fails closed.
func TestOPADecides(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	stop := p.load()
	p.slice.bundle = opaBundle(t, `package mesh_compile.authz
default decision := {"allow": false}
decision := {"allow": true, "rule": "by-identity"} if {
	input.attributes.source.principal == "`+spiffeID+`"
	not startswith(input.attributes.request.http.path, "/admin")
}`)
	p.controller.publish(2, p.slice)
	p.live(2)
	// A connection that was open obeys the old listener until it has drained.
	p.until(func() error {
		if status, _ := p.get("/a/../admin"); status != http.StatusForbidden {
			return fmt.Errorf("/a/../admin: status %d, want 403", status)
		}
		return nil
	})
	p.wantRelease("1")

	plain := p.slice
	plain.bundle = nil
	p.controller.publish(3, plain)
	p.live(3)
	if sent, faults := stop(); len(faults) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(faults), sent, faults[:min(5, len(faults))])
	}
	p.wantRelease("1")
}

func TestOPAFailsClosedWithoutTheAgent(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.slice.bundle = opaBundle(t, "package mesh_compile.authz\ndecision := {\"allow\": true}")
	p.controller.publish(1, p.slice)
	cmd := p.spawn()
	p.live(1)
	p.wantRelease("1")
	kill(t, cmd)
	if status, _ := p.get("/"); status != http.StatusForbidden && status != http.StatusServiceUnavailable {
		t.Errorf("without the agent: status %d", status)
	}
	p.spawn()
	p.live(1)
	p.until(func() error {
		if status, _ := p.get("/"); status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
}

func opaBundle(t *testing.T, rego string) []byte {
	t.Helper()
	b := bundle.Bundle{Modules: []bundle.ModuleFile{{Path: "/policy.rego", URL: "/policy.rego", Raw: []byte(rego)}}, Data: map[string]any{}}
	b.Manifest.Init()
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestCertificateIsRenewed sees new certificates on new connections while an old
// connection goes on.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	c := newController(t)
	c.life = 3 * time.Second
	p := newProxy(t, c)
	c.publish(1, p.slice)
	p.run()
	p.live(1)
	stop := p.load()
	serials := map[string]bool{}
	p.until(func() error {
		serials[p.serial()] = true
		if len(serials) < 4 {
			return fmt.Errorf("%d certificates were seen", len(serials))
		}
		return nil
	})
	if sent, faults := stop(); len(faults) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(faults), sent, faults[:min(5, len(faults))])
	}
	data, err := os.ReadFile(p.config.StateDir + "/identity.pem")
	if err != nil || !strings.Contains(string(data), "PRIVATE KEY") {
		t.Errorf("the key is not stored: %v", err)
	}
}

// serial shows the certificate that the inbound listener presents.
func (p *proxy) serial() string {
	var serial string
	config := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		serial = s.PeerCertificates[0].SerialNumber.String()
		return nil
	}}
	conn, err := tls.Dial("tcp", net.JoinHostPort(p.ip, strconv.Itoa(int(p.slice.inbound))), config)
	if err == nil {
		conn.Close()
	}
	return serial
}

// TestCallerWithoutIdentity: the inbound listener refuses the handshake.
func TestCallerWithoutIdentity(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	address := net.JoinHostPort(p.ip, strconv.Itoa(int(p.slice.inbound)))
	for name, config := range map[string]*tls.Config{"plaintext": nil, "TLS without a certificate": {InsecureSkipVerify: true}} {
		r, err := envoytest.Send(t.Context(), address, envoytest.Request{Path: "/", TLS: config})
		if err == nil {
			t.Errorf("%s: status %d, want a failed handshake", name, r.Status)
		}
	}
}

// TestHostileEndpoints: what a controller says about endpoints may take the
// mesh down, and nothing more.
func TestHostileEndpoints(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	plain := envoytest.RunEcho(t, "stranger", "v1") // answers anyone, without TLS
	p.slice.edit = func(parts *parts) {
		parts.limits.Clusters[0].Ports = append(parts.limits.Clusters[0].Ports, uint32(plain.Port()))
		slices.Sort(parts.limits.Clusters[0].Ports)
	}
	p.controller.change(func() {
		p.controller.endpoints = []*deliveryv1.ClusterEndpoints{
			{Cluster: p.slice.name(), Endpoints: []*deliveryv1.Endpoint{
				{Address: plain.IP(), Port: uint32(plain.Port()), Weight: 1 << 30, Locality: "a/b/c/d"},
				{Address: "169.254.169.254", Port: uint32(plain.Port())},
				{Address: "/var/run/docker.sock", Port: uint32(plain.Port())},
			}},
			{Cluster: "inbound", Endpoints: []*deliveryv1.Endpoint{{Address: plain.IP(), Port: uint32(plain.Port())}}},
		}
	})
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	if status, _ := p.get("/"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503: the stranger cannot prove the pinned identity", status)
	}
	if n := plain.Count("", ""); n != 0 {
		t.Errorf("the stranger got %d requests", n)
	}
	p.until(func() error {
		got := p.status().Endpoints
		for _, reason := range []string{"weight", "locality", "forbidden", "address", "cluster"} {
			if got[endpoints.Reason(reason)] == 0 {
				return fmt.Errorf("no endpoint is dropped for %q: %v", reason, got)
			}
		}
		return nil
	})
	// The controller becomes honest again.
	p.endpoints(p.slice.name())
	p.until(func() error {
		if status, release := p.get("/"); status != http.StatusOK || release != "1" {
			return fmt.Errorf("status %d by release %q", status, release)
		}
		return nil
	})
}

// TestUnknownWorkloadComesBack: an agent whose workload was in no release for a
// while gets the release that brings it back within three seconds.
func TestUnknownWorkloadComesBack(t *testing.T) {
	t.Parallel()
	c := newController(t)
	p := newProxy(t, c)
	c.publish(1, p.slice)
	c.change(func() { c.unknown = true })
	p.run()
	p.until(func() error {
		if n := c.turnedAway(); n < 6 {
			return fmt.Errorf("the controller was asked %d times", n)
		}
		return nil
	})
	began := time.Now()
	c.change(func() { c.unknown = false })
	p.until(func() error {
		if s := p.status(); !s.Connected && time.Since(began) < 3*time.Second {
			return errors.New("the agent has not come back")
		}
		return nil
	})
	if s := p.status(); !s.Connected {
		t.Errorf("not connected after %s: %+v", time.Since(began), s)
	}
	p.live(1)
}

// TestRevokedOnOpenConnection takes access away while Envoy holds a connection
// open: its next answer may obey the old rules, and those after it may not.
func TestRevokedOnOpenConnection(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.config.Envoy.DrainTime = 5 * time.Second
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	p.wantRelease("1")
	p.slice.revoked = true
	p.controller.publish(2, p.slice)
	p.live(2)
	began, old := time.Now(), -1
	p.until(func() error {
		old++
		if status, _ := p.get("/"); status != http.StatusForbidden {
			return fmt.Errorf("status %d, want 403", status)
		}
		return nil
	})
	t.Logf("refused %s after the release was live, after %d answers by the old rules", time.Since(began), old)
	if old > 1 {
		t.Errorf("%d answers by the old rules, want at most one for the open connection", old)
	}
}
