package sign

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

var self = Self{SPIFFEID: "spiffe://mesh/ns/shop/sa/cart", Workload: "shop/cart", Environment: "prod", Cluster: "eu-1"}

// A world is a mesh with two release keys that must both sign, and what its
// controller offers to one agent. Attacks change it.
type world struct {
	t                                        testing.TB
	rootKey, ci, rebuilder, fresh, emergency *Signer
	outsider                                 *Signer
	root                                     *TrustedRoot
	release                                  *artifact.Release
	doc                                      ReleaseDoc
	freshness                                Freshness
	offer                                    Offer
	state                                    State
	self                                     Self
	now                                      time.Time
}

func key(t testing.TB, alg Alg) *Signer {
	t.Helper()
	s, err := GenerateKey(alg, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, now: noon, self: self,
		rootKey: key(t, Ed25519), ci: key(t, Ed25519), rebuilder: key(t, ECDSAP256),
		fresh: key(t, Ed25519), emergency: key(t, Ed25519), outsider: key(t, Ed25519),
	}
	w.root = must(OpenRoot(must(SignRoot(w.rootDoc(), w.rootKey))))
	w.release = release(t)
	w.doc = Describe(w.release)
	w.doc.MeshID, w.doc.Sequence = "shop", 7
	w.doc.Audience = Audience{Environment: "prod", Clusters: []string{"eu-1"}}
	w.doc.IssuedAt, w.doc.NotBefore, w.doc.ExpiresAt = At(noon), At(noon), At(noon.Add(time.Hour))
	w.offer.Inclusion = must(w.release.Prove(artifact.Key{SPIFFEID: self.SPIFFEID, Workload: self.Workload}))
	w.sign(w.ci, w.rebuilder)
	w.freshness = Freshness{
		MeshID: "shop", Audience: Audience{Environment: "prod"}, Counter: 3, CurrentSequence: 7, CurrentReleaseDigest: w.digest(),
		RootVersion: 1, IssuedAt: At(noon), ExpiresAt: At(noon.Add(time.Hour)),
	}
	w.freshen(w.fresh)
	return w
}

func (w *world) rootDoc() *Root {
	doc := NewRoot("shop", "mesh", noon.Add(24*time.Hour), w.rootKey.Key(), w.ci.Key())
	doc.Keys = append(doc.Keys, w.rebuilder.Key(), w.fresh.Key(), w.emergency.Key())
	doc.Roles.Release = Role{KeyIDs: []string{w.ci.Key().KeyID, w.rebuilder.Key().KeyID}, Threshold: 2}
	doc.Roles.Freshness = &Role{KeyIDs: []string{w.fresh.Key().KeyID}, Threshold: 1}
	doc.Roles.Breakglass = &Role{KeyIDs: []string{w.emergency.Key().KeyID}, Threshold: 1}
	doc.MinReleaseSequence = 3
	return doc
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// release holds the workload of self, its neighbour, and a tombstone.
func release(t testing.TB) *artifact.Release {
	t.Helper()
	list := must(artifact.NewList([]artifact.Resource{artifact.NewResource("type.googleapis.com/c", "payment", []byte("bytes"))}))
	b := artifact.NewBuilder(nil)
	for _, name := range []string{"cart", "catalog", "payment"} {
		b.AddLeaf(artifact.Leaf{
			SPIFFEID: "spiffe://mesh/ns/shop/sa/" + name, Workload: "shop/" + name, Kind: artifact.Live, Sensitivity: artifact.Normal,
			Slice: b.AddSlice(list), Bundle: b.AddBlob([]byte("rego for " + name)),
			Constraints: b.AddBlob(must(artifact.Constraints{}.Encode())),
			AgentPolicy: b.AddBlob(must(artifact.AgentPolicy{Engine: artifact.EngineOPA, Capture: artifact.CaptureNone}.Encode())),
		})
	}
	b.AddLeaf(artifact.Leaf{SPIFFEID: "spiffe://mesh/ns/shop/sa/gone", Workload: "shop/gone", Kind: artifact.Tombstone, Sensitivity: artifact.Normal})
	b.Share(artifact.TrustBundle, []byte("roots"))
	return must(b.Build())
}

// sign seals the document as it is, past the checks of SignRelease.
func (w *world) sign(by ...*Signer) { w.offer.Release = must(seal(releaseType, w.doc, by)) }

func (w *world) freshen(by ...*Signer) {
	w.freshness.SchemaVersion = schemaVersion
	w.offer.Freshness = must(seal(freshnessType, w.freshness, by))
}

func (w *world) digest() artifact.Digest { return must(open(releaseType, w.offer.Release)).digest() }

// raw signs any payload under any type with the two release keys.
func (w *world) raw(payloadType, payload string) {
	env := dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString([]byte(payload))}
	for _, s := range []*Signer{w.ci, w.rebuilder} {
		sig := must(s.sign(dsse.PAE(payloadType, []byte(payload))))
		env.Signatures = append(env.Signatures, dsse.Signature{KeyID: s.key.KeyID, Sig: base64.StdEncoding.EncodeToString(sig)})
	}
	w.offer.Release = must(json.Marshal(env))
}

// payload signs the document with a piece of its JSON replaced.
func (w *world) payload(old, new string) {
	text := string(must(json.Marshal(w.doc)))
	if !strings.Contains(text, old) {
		w.t.Fatalf("the document has no %s: %s", old, text)
	}
	w.raw(releaseType.payloadType(), strings.Replace(text, old, new, 1))
}

// edit changes the envelope without signing it again.
func (w *world) edit(change func(*dsse.Envelope)) {
	var env dsse.Envelope
	if err := json.Unmarshal(w.offer.Release, &env); err != nil {
		w.t.Fatal(err)
	}
	change(&env)
	w.offer.Release = must(json.Marshal(env))
}

func (w *world) verify() (*Accepted, error) {
	return NewVerifier(w.root, w.self).Verify(w.offer, w.state, w.now)
}

func (w *world) changeRoot(change func(*Root)) {
	doc := w.rootDoc()
	change(doc)
	w.root = must(OpenRoot(must(SignRoot(doc, w.rootKey))))
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.verify()
	if err != nil {
		t.Fatal(err)
	}
	want := State{
		RootVersion: 1, Sequence: 7, Release: w.digest(), IssuedAt: At(noon), FreshnessCounter: 3,
		Freshness: must(open(freshnessType, w.offer.Freshness)).digest(), FreshUntil: At(noon.Add(time.Hour)),
	}
	if diff := cmp.Diff(want, a.State); diff != "" {
		t.Error(diff)
	}
	if len(a.Alarms) != 0 || len(a.SignedBy) != 2 || a.Leaf.Workload != self.Workload {
		t.Errorf("alarms %v, signed by %v, leaf %+v", a.Alarms, a.SignedBy, a.Leaf)
	}
	loaded, err := a.Load(w.release.Blob)
	if err != nil {
		t.Fatal(err)
	}
	if string(loaded.Bundle) != "rego for cart" || string(loaded.TrustBundle) != "roots" || len(loaded.Resources) != 1 {
		t.Errorf("loaded %+v", loaded)
	}
	if diff := cmp.Diff(a.State, must(DecodeState(must(a.State.Encode())))); diff != "" {
		t.Errorf("the state does not survive its file:\n%s", diff)
	}
	w.state = a.State
	if _, err := w.verify(); err != nil {
		t.Errorf("the same release again: %v", err)
	}
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	known := State{RootVersion: 1, Sequence: 6, Release: artifact.DigestOf([]byte("6")), IssuedAt: At(noon)}
	tests := map[string]struct {
		change func(*world)
		want   []Alarm
	}{
		"no role for freshness": {func(w *world) { w.changeRoot(func(r *Root) { r.Roles.Freshness = nil }) }, []Alarm{AlarmNoFreshness}},
		"a mark is enough":      {func(w *world) { w.state, w.offer.Freshness = known, nil }, nil},
		"gap":                   {func(w *world) { w.state = known; w.state.Sequence = 4 }, []Alarm{AlarmGap}},
		"clock behind":          {func(w *world) { w.state = known; w.now = noon.Add(-1000 * time.Hour) }, []Alarm{AlarmClock}},
		"breakglass": {func(w *world) {
			w.state, w.offer.Freshness, w.doc.Class = known, nil, ClassBreakglass
			w.sign(w.emergency)
		}, []Alarm{AlarmBreakglass}},
		"all clusters": {func(w *world) {
			w.doc.Audience.Clusters = nil
			w.sign(w.ci, w.rebuilder)
			w.state, w.offer.Freshness = known, nil
		}, nil},
		"newer than freshness": {func(w *world) { w.freshness.CurrentSequence = 6; w.freshen(w.fresh) }, nil},
		"an epoch later": {func(w *world) {
			w.state = State{RootVersion: 1, Sequence: maxInteger, Release: known.Release, FreshnessCounter: maxInteger}
			w.changeRoot(func(r *Root) { r.SequenceEpoch = 1 })
			w.doc.SequenceEpoch, w.freshness.SequenceEpoch = 1, 1
			w.sign(w.ci, w.rebuilder)
			w.freshness.CurrentReleaseDigest = w.digest()
			w.freshen(w.fresh)
		}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.change(w)
			a, err := w.verify()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a.Alarms, test.want) {
				t.Errorf("alarms %v, want %v", a.Alarms, test.want)
			}
		})
	}
}

func TestRootChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heir := key(t, ECDSAP256)
	next := func(change func(*Root)) *Root {
		doc := w.root.Document()
		doc.Version++
		doc.Keys = append(doc.Keys, heir.Key())
		doc.Roles.Root.KeyIDs = []string{heir.key.KeyID}
		if change != nil {
			change(&doc)
		}
		return &doc
	}
	both := []*Signer{w.rootKey, heir}
	for name, test := range map[string]struct {
		doc  *Root
		by   []*Signer
		want Code
	}{
		"good":            {next(nil), both, ""},
		"old key only":    {next(nil), both[:1], RootSignature},
		"new key only":    {next(nil), both[1:], RootSignature},
		"version skipped": {next(func(r *Root) { r.Version++ }), both, RootVersion},
		"same version":    {next(func(r *Root) { r.Version-- }), both, RootVersion},
		"other mesh":      {next(func(r *Root) { r.MeshID = "bank" }), both, RootMesh},
		"other domain":    {next(func(r *Root) { r.TrustDomain = "bank" }), both, RootMesh},
		"lower floor":     {next(func(r *Root) { r.MinReleaseSequence-- }), both, RootFloor},
		"new epoch":       {next(func(r *Root) { r.SequenceEpoch++; r.MinReleaseSequence = 0 }), both, ""},
		"threshold of 2": {next(func(r *Root) {
			r.Roles.Root = Role{KeyIDs: []string{w.rootKey.key.KeyID, heir.key.KeyID}, Threshold: 2}
		}), both, ""},
	} {
		got, err := w.root.Next(must(SignRoot(test.doc, test.by...)))
		if CodeOf(err) != test.want || (err == nil) != (got != nil) {
			t.Errorf("%s: %v, want code %q", name, err, test.want)
		}
	}
	if _, err := w.root.Next(w.offer.Release); CodeOf(err) != RootPayloadType {
		t.Errorf("a release as a root: %v", err)
	}
	if len(w.root.doc.Roles.Root.KeyIDs) != 1 || w.root.doc.Roles.Root.KeyIDs[0] != w.rootKey.key.KeyID {
		t.Error("editing a copy of the document changed the trusted root")
	}
}

func TestRootRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*Root){
		"key twice":              func(r *Root) { r.Keys = append(r.Keys, r.Keys[0]) },
		"false identifier":       func(r *Root) { r.Keys[0].KeyID = r.Keys[1].KeyID },
		"false algorithm":        func(r *Root) { r.Keys[1].Alg = ECDSAP256 },
		"unknown algorithm":      func(r *Root) { r.Keys[1].Alg = "none" },
		"bytes after the key":    func(r *Root) { r.Keys[1].PublicKey = append(r.Keys[1].PublicKey, 0) },
		"role of unknown key":    func(r *Root) { r.Roles.Release.KeyIDs = []string{"00"} },
		"role names a key twice": func(r *Root) { r.Roles.Release.KeyIDs = slices.Repeat(r.Roles.Release.KeyIDs, 2) },
		"threshold 0":            func(r *Root) { r.Roles.Release.Threshold = 0 },
		"threshold too high":     func(r *Root) { r.Roles.Release.Threshold = 3 },
		"no expiry":              func(r *Root) { r.ExpiresAt = Time{} },
		"server root":            func(r *Root) { r.ServerRoots = []string{"not PEM"} },
		"no trust domain":        func(r *Root) { r.TrustDomain = "" },
	} {
		doc := w.rootDoc()
		change(doc)
		if _, err := SignRoot(doc, w.rootKey); err == nil {
			t.Errorf("%s: signed", name)
		}
		if _, err := OpenRoot(must(seal(rootType, doc, []*Signer{w.rootKey}))); CodeOf(err) != RootDocument {
			t.Errorf("%s: %v, want code %s", name, err, RootDocument)
		}
	}
	if _, err := OpenRoot(must(SignRoot(w.rootDoc(), w.outsider))); CodeOf(err) != RootSignature {
		t.Errorf("a root signed by somebody else: %v", err)
	}
}

func TestStepBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := &ReleaseDoc{Sequence: 7, MinPrevSequence: 6}
	type place struct{ epoch, sequence uint64 }
	for previous, want := range map[place]bool{{0, 6}: true, {0, 5}: false, {0, 7}: false, {0, 8}: false, {1, 6}: false} {
		got := MayStepBack(w.root, live, &ReleaseDoc{SequenceEpoch: previous.epoch, Sequence: previous.sequence})
		if got != want {
			t.Errorf("back to %v: %t", previous, got)
		}
	}
	w.changeRoot(func(r *Root) { r.MinReleaseSequence = 7 })
	if MayStepBack(w.root, live, &ReleaseDoc{Sequence: 6}) {
		t.Error("back below the floor")
	}
	if MayStepBack(w.root, &ReleaseDoc{Sequence: 8}, &ReleaseDoc{Sequence: 7}) {
		t.Error("back without leave")
	}
}

func TestKeygenSignVerify(t *testing.T) {
	t.Parallel()
	for _, alg := range []Alg{Ed25519, ECDSAP256} {
		keys, err := Keygen(KeygenOptions{MeshID: "shop", TrustDomain: "mesh", ExpiresAt: noon.Add(time.Hour), Alg: alg})
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "release.key")
		if err := keys.Release.WritePrivateKey(name); err != nil {
			t.Fatal(err)
		}
		if err := keys.Release.WritePrivateKey(name); err == nil {
			t.Error("a key was overwritten")
		}
		signer, err := LoadPrivateKey(name, "release")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		w.doc.Audience = Audience{}
		envelope := must(SignRelease(w.doc, signer))
		if again := must(SignRelease(w.doc, signer)); !bytes.Equal(again, envelope) {
			t.Errorf("%s: two signings of one document differ", alg)
		}
		root := must(OpenRoot(keys.Document))
		doc, by, err := CheckRelease(root, w.release.WithEnvelope(envelope), noon)
		if err != nil || len(by) != 1 || by[0].KeyID != keys.Release.Key().KeyID {
			t.Fatalf("%v, signed by %v", err, by)
		}
		if diff := cmp.Diff(w.doc, *doc); diff != "" {
			t.Error(diff)
		}
		b := artifact.NewBuilder(w.release)
		for _, l := range w.release.Leaves()[1:] {
			b.AddLeaf(l)
		}
		if _, _, err := CheckRelease(root, must(b.Build()).WithEnvelope(envelope), noon); CodeOf(err) != ReleaseContent {
			t.Errorf("another release under this signature: %v", err)
		}
		crossed := w.doc
		crossed.Merkle.Root = artifact.DigestOf(nil)
		if _, _, err := CheckRelease(root, w.release.WithEnvelope(must(SignRelease(crossed, signer))), noon); CodeOf(err) != ReleaseContent {
			t.Errorf("another tree under this signature: %v", err)
		}
		if err := os.Chmod(name, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPrivateKey(name, "release"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key that everyone may read: %v", err)
		}
	}
}

func TestCountersign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sign(w.ci)
	w.offer.Release = must(Countersign(w.offer.Release, w.rebuilder))
	if _, err := w.verify(); err != nil {
		t.Error(err)
	}
	if doc, digest, err := w.root.OpenRelease(w.offer.Release); err != nil || doc.Sequence != 7 || digest != w.digest() {
		t.Errorf("%v, %v, %v", doc, digest, err)
	}
}

func FuzzDocuments(f *testing.F) {
	w := newWorld(f)
	f.Add(w.offer.Release)
	f.Add(w.offer.Freshness)
	f.Add(w.root.Envelope())
	f.Add([]byte(`{"payloadType":"application/vnd.mesh-compile.root.v1+json","payload":"e30=","signatures":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = OpenRoot(data)
		_, _ = DecodeState(data)
		offer := w.offer
		offer.Release = data
		a, err := NewVerifier(w.root, w.self).Verify(offer, State{}, noon)
		if err == nil && a.Digest != w.digest() {
			t.Errorf("accepted a document that nobody signed: %s", data)
		}
		if err != nil && CodeOf(err) == "" {
			t.Errorf("a refusal without a code: %v", err)
		}
		// The parser by itself, past the signatures.
		s := &sealed{payload: data}
		for _, doc := range []interface{ check() error }{&ReleaseDoc{}, &Root{}, &Freshness{}} {
			if s.decode(releaseType, doc) == nil {
				if again, err := json.Marshal(doc); err != nil {
					t.Errorf("%s does not encode again: %v", again, err)
				}
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		if _, err := w.verify(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(w.offer.Release)), "B/envelope")
}
