package follow

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// site is a follower with real keys and a real store.
type site struct {
	*Follower
	t      *testing.T
	keys   *sign.Keys
	dir    string
	store  store.Store
	server *deliver.Server
	list   []v1alpha1.Release
	now    time.Time

	told    []string // endpoints, a line each time
	bundles []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	keys, err := sign.Keygen(sign.KeygenOptions{MeshID: "shop", TrustDomain: "shop.example", ExpiresAt: now.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign.OpenRoot(keys.Document)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, keys: keys, dir: t.TempDir(), now: now}
	if s.store, err = store.Open("file://" + s.dir); err != nil {
		t.Fatal(err)
	}
	s.server = deliver.New(deliver.Options{Endpoints: endpoints.NewTable(), Log: slog.New(slog.DiscardHandler)})
	s.Follower = New(Options{
		Root: root, Store: s.store, Deliver: s.server, Log: slog.New(slog.DiscardHandler),
		Endpoints: func(releases ...[]artifact.DiscoveredService) {
			var line []string
			for _, services := range releases {
				line = append(line, services[0].Name)
			}
			s.told = append(s.told, strings.Join(line, " "))
		},
		Trust: func(bundles ...[]byte) error {
			s.bundles = nil
			for _, b := range bundles {
				s.bundles = append(s.bundles, string(b))
			}
			return nil
		},
	})
	return s
}

// content makes a release of two workloads; service is the one whose endpoints it
// asks for.
func (s *site) content(service string) *artifact.Release {
	s.t.Helper()
	b := artifact.NewBuilder(nil)
	b.Share(artifact.TrustBundle, []byte("roots of "+service))
	part, err := artifact.DiscoveredService{Namespace: "shop", Name: service, Clusters: []artifact.DiscoveredCluster{{Name: service, Targets: []uint32{80}}}}.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	b.Aux(artifact.Discovery, artifact.NewBlob(artifact.EncodeDiscovery([][]byte{part})))
	policy, err := artifact.AgentPolicy{Engine: artifact.EngineRBAC, Capture: artifact.CaptureNone}.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	constraints, err := artifact.Constraints{}.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		list, err := artifact.NewList([]artifact.Resource{artifact.NewResource("cluster", service, []byte(service))})
		if err != nil {
			s.t.Fatal(err)
		}
		b.AddLeaf(artifact.Leaf{
			SPIFFEID: "spiffe://shop.example/ns/shop/sa/" + name, Workload: "shop/" + name, Kind: artifact.Live, Sensitivity: artifact.Normal,
			Slice: b.AddSlice(list), Constraints: b.AddBlob(constraints), AgentPolicy: b.AddBlob(policy),
		})
	}
	r, err := b.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// release adds a Release with a sequence, and its content to the store.
func (s *site) release(sequence uint64, service string, phase v1alpha1.RolloutPhase) *v1alpha1.Release {
	s.t.Helper()
	content := s.content(service)
	if err := s.store.Put(s.t.Context(), content); err != nil {
		s.t.Fatal(err)
	}
	doc := sign.Describe(content)
	doc.MeshID, doc.Sequence, doc.Trust.TrustDomain = "shop", sequence, "shop.example"
	doc.SequenceEpoch = s.opt.Root.Document().SequenceEpoch
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(s.now), sign.At(s.now), sign.At(s.now.Add(time.Hour))
	envelope, err := sign.SignRelease(doc, s.keys.Release)
	if err != nil {
		s.t.Fatal(err)
	}
	s.list = append(s.list, v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("r", sequence)},
		Spec: v1alpha1.ReleaseSpec{Content: store.Key(content).String(), Rollout: &v1alpha1.RolloutSettings{
			Waves: []v1alpha1.RolloutWave{{Workloads: []v1alpha1.WorkloadPattern{"shop/first"}}},
		}},
		Status: v1alpha1.ReleaseStatus{
			Signature: &v1alpha1.ReleaseSignature{Envelope: envelope},
			Rollout:   &v1alpha1.RolloutStatus{Phase: phase},
		},
	})
	return &s.list[len(s.list)-1]
}

// update serves the list; what is served is the live sequence, and the fallback's.
func (s *site) update(want string) {
	s.t.Helper()
	_, err := s.Update(s.t.Context(), s.list, s.now)
	status := s.Status()
	got := fmt.Sprintf("%d/%d", status.Sequence, status.Fallback)
	if err != nil {
		got += " and an error"
	}
	if got != want {
		s.t.Errorf("serves %s, want %s (%v)", got, want, err)
	}
	if (err != nil) != (status.Behind != "") {
		s.t.Errorf("error %v, behind %q", err, status.Behind)
	}
}

func TestFollow(t *testing.T) {
	s := newSite(t)
	s.update("0/0")
	s.release(1, "one", v1alpha1.RolloutProgressing)
	s.update("1/0") // nothing was before it: it is for all
	s.list[0].Status.Rollout.Phase = v1alpha1.RolloutComplete
	s.update("1/0")
	second := s.release(2, "two", v1alpha1.RolloutProgressing)
	s.update("2/1")
	second.Status.Rollout.Wave = 1
	s.update("2/1")
	if diff := cmp.Diff([]string{"roots of two", "roots of one"}, s.bundles); diff != "" {
		t.Errorf("roots of clients: %s", diff)
	}
	s.release(3, "three", v1alpha1.RolloutHalted)
	s.update("3/1") // the second is not complete
	s.list[2].Status.Rollout.Phase = v1alpha1.RolloutComplete
	s.update("3/0")
	if diff := cmp.Diff([]string{"one", "two one", "three one two", "three one"}, s.told); diff != "" {
		t.Errorf("endpoints:\n%s", diff)
	}
	if got := s.server.Live().Envelope(); string(got) != string(s.list[2].Status.Signature.Envelope) {
		t.Error("another release is published than the third")
	}
}

// TestStays: nothing that is wrong changes what is served.
func TestStays(t *testing.T) {
	for name, harm := range map[string]func(*site) string{
		"objects are deleted":   func(s *site) string { s.list = nil; return "2/0" },
		"the newest is deleted": func(s *site) string { s.list = s.list[:1]; return "2/0" },
		"another key signed it": func(s *site) string {
			r := s.release(3, "three", v1alpha1.RolloutComplete)
			r.Status.Signature.Envelope = newSite(s.t).release(3, "three", "").Status.Signature.Envelope
			return "2/0"
		},
		"no signature yet": func(s *site) string {
			s.release(3, "three", v1alpha1.RolloutPending).Status.Signature = nil
			return "2/0"
		},
		"a document that is not one": func(s *site) string {
			s.release(3, "three", v1alpha1.RolloutComplete).Status.Signature.Envelope = []byte("{}")
			return "2/0"
		},
		"content of another release": func(s *site) string {
			s.release(3, "three", v1alpha1.RolloutComplete).Spec.Content = s.list[0].Spec.Content
			return "2/0 and an error"
		},
		"no content": func(s *site) string {
			r := s.release(3, "three", v1alpha1.RolloutComplete)
			r.Spec.Content = artifact.DigestOf([]byte("nothing")).String()
			return "2/0 and an error"
		},
		"a content's name that is none": func(s *site) string {
			s.release(3, "three", v1alpha1.RolloutComplete).Spec.Content = "../../etc"
			return "2/0 and an error"
		},
		"an older sequence": func(s *site) string { s.release(1, "three", v1alpha1.RolloutComplete); return "2/0" },
		"another release of the same sequence": func(s *site) string {
			s.release(2, "three", v1alpha1.RolloutComplete)
			slices.Reverse(s.list)
			return "2/0 and an error"
		},
		"the store is gone": func(s *site) string {
			s.release(3, "three", v1alpha1.RolloutComplete)
			if err := os.RemoveAll(filepath.Clean(s.dir)); err != nil {
				s.t.Fatal(err)
			}
			return "2/0 and an error"
		},
		"not before tomorrow": func(s *site) string {
			s.now = s.now.Add(24 * time.Hour)
			s.release(3, "three", v1alpha1.RolloutComplete)
			s.now = s.now.Add(-24 * time.Hour)
			return "2/0"
		},
		"it has expired": func(s *site) string { s.now = s.now.Add(2 * time.Hour); return "2/0" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.release(1, "one", v1alpha1.RolloutComplete)
			s.release(2, "two", v1alpha1.RolloutComplete)
			s.update("2/0")
			live := s.server.Live()
			s.update(harm(s))
			if s.server.Live() != live {
				t.Error("another release is published")
			}
		})
	}
}

// TestExpired: after a start, the newest release is served even if it has expired:
// proxies decide what that means to them.
func TestExpired(t *testing.T) {
	s := newSite(t)
	s.release(1, "one", v1alpha1.RolloutComplete)
	s.now = s.now.Add(2 * time.Hour)
	s.update("1/0")
}

// TestNewest: a release that cannot be served does not keep back one before it that
// is newer than what is served.
func TestNewest(t *testing.T) {
	s := newSite(t)
	s.release(1, "one", v1alpha1.RolloutComplete)
	s.update("1/0")
	s.release(2, "two", v1alpha1.RolloutComplete)
	s.release(3, "three", v1alpha1.RolloutComplete).Spec.Content = artifact.DigestOf(nil).String()
	s.update("2/0 and an error")
}

// TestLost: what workloads are served that the rollout has not reached stays, when
// it cannot be read any more.
func TestLost(t *testing.T) {
	s := newSite(t)
	s.release(1, "one", v1alpha1.RolloutComplete)
	s.update("1/0")
	s.list = nil
	s.release(2, "two", v1alpha1.RolloutProgressing)
	s.update("2/1")
	s.update("2/1")
}

func TestShown(t *testing.T) {
	s := newSite(t)
	for _, envelope := range [][]byte{
		s.release(7, "seven", "").Status.Signature.Envelope,
		s.release(5, "five", "").Status.Signature.Envelope,
		newSite(t).release(9, "nine", "").Status.Signature.Envelope,
		[]byte("nothing"),
	} {
		s.Shown(envelope)
	}
	if got := s.Status().Shown; got != 7 {
		t.Errorf("sequence %d was shown, want 7", got)
	}
}
