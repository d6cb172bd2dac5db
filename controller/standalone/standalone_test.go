package standalone

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// logBuffer is written by the controller and read by the test.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func noDNS(_ context.Context, name string) ([]netip.Addr, error) {
	if name == "catalog.internal" {
		return []netip.Addr{netip.MustParseAddr("127.0.10.13")}, nil
	}
	return nil, errors.New("no such host")
}

func refused(s Status) bool { return s.Refused != nil }

func TestServe(t *testing.T) {
	r := newSite(t).start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	a.watch()
	accepted, loaded := a.must()
	if accepted.Release.Sequence != 1 || accepted.Leaf.Workload != "shop/order" || len(loaded.Resources) == 0 {
		t.Errorf("accepted %+v with %d resources", accepted.Release, len(loaded.Resources))
	}
	if ca, err := os.ReadFile(filepath.Join(r.state, "keys", caFile)); err != nil || string(ca) != string(loaded.TrustBundle) {
		t.Errorf("trust bundle %q is not the root of the certificates issued: %v", loaded.TrustBundle, err)
	}
	if got := a.endpoints("outbound|8080|v2|catalog.shop"); got != "127.0.10.13:8080" {
		t.Errorf("endpoints %q", got)
	}

	r.write(t, "route.yaml", route(50))
	if accepted, _ := a.must(); accepted.Release.Sequence != 2 || accepted.Release.PreviousReleaseDigest.IsZero() {
		t.Errorf("accepted %+v", accepted.Release)
	}

	if _, err := a.delivery.Report(a.ctx(), &deliveryv1.ReportRequest{Workload: a.workload, Instance: "one", Sequence: 2, State: deliveryv1.ReportRequest_STATE_APPLIED}); err != nil {
		t.Fatal(err)
	}
	if s := r.now(t); s.Fleet.Current != 1 || s.Fleet.Watching != 1 || s.Mesh != "mesh" || s.Live.Workloads != 3 {
		t.Errorf("status %+v", s)
	}
	if code, body := r.get(t, "/metrics"); code != 200 || !strings.Contains(string(body), "mesh_release_sequence 2\n") {
		t.Errorf("metrics: %d\n%s", code, body)
	}
	if code, _ := r.get(t, "/readyz"); code != 200 {
		t.Errorf("readyz: %d", code)
	}
	if err := r.stop(); err != nil { // with a stream open
		t.Error(err)
	}
	if strings.Contains(r.log.String(), "PRIVATE") || strings.Contains(r.log.String(), "mesh-join-") {
		t.Errorf("a secret in the log:\n%s", r.log)
	}
}

// What does not compile leaves everything as it is, and says so.
func TestRefusedPoliciesChangeNothing(t *testing.T) {
	r := newSite(t).start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	a.watch()
	a.must()
	r.write(t, "route.yaml", strings.Replace(route(90), "weight: 10", "weight: 20", 1))
	s := r.await(t, "refusal", refused)
	if s.Live == nil || s.Live.Sequence != 1 || !strings.Contains(s.Refused.Diagnostics, "route.yaml:") {
		t.Errorf("status %+v", s)
	}
	if !strings.Contains(r.log.String(), "release 1 stays live") {
		t.Errorf("log:\n%s", r.log)
	}
	if got := a.endpoints("outbound|8080|v1|catalog.shop"); got != "127.0.10.12:8080" {
		t.Errorf("endpoints %q", got)
	}
	r.write(t, "route.yaml", route(90)) // what is live already
	r.await(t, "acceptance", func(s Status) bool { return !refused(s) })
	r.write(t, "route.yaml", route(80))
	if accepted, _ := a.must(); accepted.Release.Sequence != 2 {
		t.Errorf("release %d followed 1", accepted.Release.Sequence)
	}
}

// A restart goes on with the sequence, and serves before it compiles and when
// nothing compiles.
func TestRestart(t *testing.T) {
	s := newSite(t)
	r := s.start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	a.watch()
	a.must()
	r.write(t, "route.yaml", route(50))
	a.must()
	// The release is stored after it was delivered.
	stored := filepath.Join(s.state, "release", "release.dsse.json")
	for end := time.Now().Add(deadline); ; {
		if data, err := os.ReadFile(stored); err == nil && string(data) == string(a.envelope) || time.Now().After(end) {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.write(t, "route.yaml", "apiVersion: mesh-compile.dev/v1alpha1\nkind: Nonsense\n")
	r = s.start(t)
	if s := r.await(t, "refusal", refused); s.Live == nil || s.Live.Sequence != 2 {
		t.Fatalf("live %+v", s.Live)
	}
	a.connect(r, "")
	a.watch()
	if accepted, _ := a.must(); accepted.Release.Sequence != 2 || len(accepted.Alarms) != 0 {
		t.Errorf("accepted %+v, alarms %v", accepted.Release, accepted.Alarms)
	}
	if got := a.endpoints("outbound|8080|v2|catalog.shop"); got != "127.0.10.13:8080" {
		t.Errorf("endpoints %q", got)
	}
	r.write(t, "route.yaml", route(10))
	if accepted, _ := a.must(); accepted.Release.Sequence != 3 || len(accepted.Alarms) != 0 {
		t.Errorf("accepted %+v, alarms %v", accepted.Release, accepted.Alarms)
	}
}

// A controller that lost its state signs above what an agent shows.
func TestLostState(t *testing.T) {
	s := newSite(t)
	r := s.start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	a.watch()
	a.must()
	for _, share := range []int{80, 70, 60} {
		r.write(t, "route.yaml", route(share))
		a.must()
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state.json", "facts.json", "release"} {
		if err := os.RemoveAll(filepath.Join(s.state, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.write(t, "route.yaml", route(40))
	r = s.start(t)
	r.awaitSequence(t, 1)
	a.connect(r, "")
	a.watch()
	accepted, _, err := a.next()
	if err != nil { // release 1, a rollback to this agent, unless the next came first
		accepted, _ = a.must()
	}
	if accepted.Release.Sequence != 5 {
		t.Errorf("release %d after 4", accepted.Release.Sequence)
	}
}

// An envelope of another mesh moves nothing.
func TestForeignEnvelope(t *testing.T) {
	other := newSite(t).start(t)
	other.awaitSequence(t, 1)
	b := other.join(t, "shop/order")
	b.watch()
	b.must()
	other.write(t, "route.yaml", route(70))
	b.must()

	r := newSite(t).start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	a.envelope = b.envelope
	a.watch()
	a.must()
	r.write(t, "route.yaml", route(70))
	if accepted, _ := a.must(); accepted.Release.Sequence != 2 {
		t.Errorf("release %d after 1", accepted.Release.Sequence)
	}
}

func TestReleaseIsSignedAgainBeforeItExpires(t *testing.T) {
	s := newSite(t)
	s.config.ReleaseValidity = 4 * time.Second
	r := s.start(t)
	first := r.awaitSequence(t, 1)
	second := r.awaitSequence(t, 2)
	if first.Live.Content != second.Live.Content || !second.Live.ExpiresAt.After(first.Live.ExpiresAt) {
		t.Errorf("first %+v, second %+v", first.Live, second.Live)
	}
}

// A release that expired while the controller was down is signed again, as the
// policies that it is of still stand.
func TestRestartAfterExpiry(t *testing.T) {
	s := newSite(t)
	s.config.ReleaseValidity = time.Hour
	r := s.start(t)
	r.awaitSequence(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	c, err := newController(t.Context(), mustDefault(t, s.config))
	if err != nil {
		t.Fatal(err)
	}
	c.cfg.ReleaseValidity = 2 * time.Second
	if err := c.again(); err != nil { // a short one takes its place on disk
		t.Fatal(err)
	}
	c.store()
	for c.renewIn() > 0 {
		<-time.After(50 * time.Millisecond)
	}
	s.write(t, "route.yaml", "kind: Nonsense\napiVersion: mesh-compile.dev/v1alpha1\n")
	r = s.start(t)
	if s := r.await(t, "refusal", refused); s.Live == nil || s.Live.Sequence != 3 || time.Until(s.Live.ExpiresAt) < 30*time.Minute {
		t.Errorf("live %+v", s.Live)
	}
}

func mustDefault(t *testing.T, c Config) Config {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// The branch of a bare repository, to which others push.
func TestGitBranch(t *testing.T) {
	s := newSite(t)
	bare := t.TempDir()
	git(t, bare, "init", "-q", "--bare", "-b", "main")
	git(t, s.path, "init", "-q", "-b", "main")
	push := func() string {
		git(t, s.path, "add", ".")
		git(t, s.path, "commit", "-q", "-m", "policy")
		git(t, s.path, "push", "-q", bare, "main")
		return git(t, s.path, "rev-parse", "HEAD")
	}
	first := push()
	s.config.Path, s.config.Repository = "git:main", bare
	r := s.start(t)
	if st := r.awaitSequence(t, 1); st.Live.Commit != first {
		t.Errorf("commit %s, want %s", st.Live.Commit, first)
	}
	a := r.join(t, "shop/order")
	a.watch()
	a.must()
	s.write(t, "route.yaml", route(20)) // not pushed
	second := push()
	if accepted, _ := a.must(); accepted.Release.Sequence != 2 || accepted.Release.Source.Commit != second {
		t.Errorf("accepted %+v", accepted.Release)
	}
	s.write(t, "route.yaml", "kind: Nonsense\napiVersion: mesh-compile.dev/v1alpha1\n")
	third := push()
	if st := r.await(t, "refusal", refused); st.Refused.Commit != third || st.Live.Commit != second {
		t.Errorf("status %+v", st)
	}
	git(t, bare, "pack-refs", "--all")
	s.write(t, "route.yaml", route(30))
	push()
	if accepted, _ := a.must(); accepted.Release.Sequence != 3 {
		t.Errorf("accepted %+v", accepted.Release)
	}
}

func TestJoinTokenFiles(t *testing.T) {
	s := newSite(t)
	s.config.JoinTokens = filepath.Join(t.TempDir(), "tokens")
	r := s.start(t)
	r.awaitSequence(t, 1)
	name := filepath.Join(s.config.JoinTokens, "shop", "order.token")
	read := func(unlike string) string {
		for end := time.Now().Add(deadline); ; {
			data, err := os.ReadFile(name)
			if err == nil && string(data) != unlike {
				return string(data)
			}
			if time.Now().After(end) {
				t.Fatalf("no new token: %v", err)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	token := read("")
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	a := &agent{t: t, workload: "shop/order", id: "spiffe://shop.example/ns/shop/sa/default"}
	a.connect(r, token)
	a.watch()
	a.must()
	second := &agent{t: t, workload: "shop/order", id: a.id}
	second.connect(r, read(token)) // spent tokens are replaced
	second.watch()
	second.must()
}

func TestWorkloadCannotTakeAnothersLeaf(t *testing.T) {
	r := newSite(t).start(t)
	r.awaitSequence(t, 1)
	a := r.join(t, "shop/order")
	a.workload = "shop/catalog-v1"
	a.watch()
	if _, err := a.stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
}

func TestOneControllerPerStateDirectory(t *testing.T) {
	s := newSite(t)
	s.start(t)
	if err := Run(t.Context(), s.config); err == nil || !strings.Contains(err.Error(), "another controller") {
		t.Errorf("got %v", err)
	}
}

func TestTrustDomainMustAgree(t *testing.T) {
	s := newSite(t)
	s.config.TrustDomain = "other.example"
	r := s.start(t)
	if st := r.await(t, "refusal", refused); st.Live != nil || !strings.Contains(st.Refused.Message, `"shop.example"`) {
		t.Errorf("status %+v", st.Refused)
	}
	if code, _ := r.get(t, "/readyz"); code != 503 {
		t.Errorf("readyz without a release: %d", code)
	}
}

func TestConfigRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		c    Config
		want string
	}{
		"no path":      {Config{StateDir: dir}, "no policy repository"},
		"no state":     {Config{Path: dir}, "no state directory"},
		"state inside": {Config{Path: dir, StateDir: filepath.Join(dir, "state")}, "inside the policy repository"},
	} {
		if _, err := tc.c.withDefaults(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestCreateTokenRefuses(t *testing.T) {
	r := newSite(t).start(t)
	r.awaitSequence(t, 1)
	for name, tc := range map[string]struct {
		r    TokenRequest
		want string
	}{
		"nobody":       {TokenRequest{}, "either a workload or an identity"},
		"both":         {TokenRequest{Workload: "shop/order", Identity: "shop/order"}, "either"},
		"unknown":      {TokenRequest{Workload: "shop/nothing"}, `no workload "shop/nothing"`},
		"no namespace": {TokenRequest{Identity: "order"}, "namespace/service-account"},
	} {
		tc.r.StateDir = r.state
		if _, _, err := CreateToken(tc.r); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, id, err := CreateToken(TokenRequest{StateDir: r.state, Identity: "shop/catalog"}); err != nil || id.String() != "spiffe://shop.example/ns/shop/sa/catalog" {
		t.Errorf("%s, %v", id, err)
	}
	if _, _, err := CreateToken(TokenRequest{StateDir: t.TempDir(), Workload: "shop/order"}); err == nil || !strings.Contains(err.Error(), "no release yet") {
		t.Errorf("before a release: %v", err)
	}
}
