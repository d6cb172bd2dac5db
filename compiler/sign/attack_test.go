package sign

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

func TestAttacks(t *testing.T) {
	t.Parallel()
	other := artifact.DigestOf([]byte("other"))
	for name, test := range map[string]struct {
		attack func(*world)
		want   Code
	}{
		"10 MB envelope": {func(w *world) { w.offer.Release = bytes.Repeat([]byte(" "), 10<<20) }, ReleaseTooLarge},
		"no envelope":    {func(w *world) { w.offer.Release = nil }, ReleaseEnvelope},
		"bytes after it": {func(w *world) { w.offer.Release = append(w.offer.Release, "{}"...) }, ReleaseEnvelope},
		"field in envelope": {func(w *world) {
			w.offer.Release = bytes.Replace(w.offer.Release, []byte(`{`), []byte(`{"x":1,`), 1)
		}, ReleaseEnvelope},
		"field twice in envelope": {func(w *world) {
			w.offer.Release = bytes.Replace(w.offer.Release, []byte(`{`), []byte(`{"payload":"",`), 1)
		}, ReleaseEnvelope},
		"field in another case": {func(w *world) {
			w.offer.Release = bytes.Replace(w.offer.Release, []byte(`"payload"`), []byte(`"Payload"`), 1)
		}, ReleaseEnvelope},
		"base64 with a line break": {func(w *world) { w.edit(func(e *dsse.Envelope) { e.Payload += "\n" }) }, ReleaseEnvelope},
		"other payload type":       {func(w *world) { w.edit(func(e *dsse.Envelope) { e.PayloadType = rootType.payloadType() }) }, ReleasePayloadType},
		"signed as another type": {func(w *world) {
			w.raw(freshnessType.payloadType(), string(must(json.Marshal(w.doc))))
			w.edit(func(e *dsse.Envelope) { e.PayloadType = releaseType.payloadType() })
		}, ReleaseSignature},
		"freshness as a release": {func(w *world) { w.offer.Release = w.offer.Freshness }, ReleasePayloadType},
		"17 signatures": {func(w *world) {
			w.edit(func(e *dsse.Envelope) { e.Signatures = slices.Repeat(e.Signatures[:1], 17) })
		}, ReleaseTooLarge},

		"no signatures": {func(w *world) { w.edit(func(e *dsse.Envelope) { e.Signatures = nil }) }, ReleaseSignature},
		"one of two":    {func(w *world) { w.sign(w.ci) }, ReleaseSignature},
		"one key twice": {func(w *world) { w.sign(w.ci, w.ci) }, ReleaseSignature},
		"one key under two ids": {func(w *world) {
			w.sign(w.ci, w.ci)
			w.edit(func(e *dsse.Envelope) { e.Signatures[1].KeyID = w.rebuilder.key.KeyID })
		}, ReleaseSignature},
		"ids swapped": {func(w *world) {
			w.edit(func(e *dsse.Envelope) {
				e.Signatures[0].KeyID, e.Signatures[1].KeyID = e.Signatures[1].KeyID, e.Signatures[0].KeyID
			})
		}, ReleaseSignature},
		"unknown key":                    {func(w *world) { w.sign(w.ci, w.outsider) }, ReleaseSignature},
		"key of another role":            {func(w *world) { w.sign(w.ci, w.fresh) }, ReleaseSignature},
		"breakglass key, normal release": {func(w *world) { w.sign(w.emergency) }, ReleaseSignature},
		"release keys, breakglass":       {func(w *world) { w.doc.Class = ClassBreakglass; w.sign(w.ci, w.rebuilder) }, ReleaseSignature},
		"signature of other bytes": {func(w *world) {
			old := w.offer.Release
			w.doc.Sequence++
			w.sign(w.ci, w.rebuilder)
			w.edit(func(e *dsse.Envelope) {
				var before dsse.Envelope
				_ = json.Unmarshal(old, &before)
				e.Signatures = before.Signatures
			})
		}, ReleaseSignature},

		"payload not JSON":        {func(w *world) { w.raw(releaseType.payloadType(), "{") }, ReleaseDocument},
		"payload not UTF-8":       {func(w *world) { w.payload(`"meshId":"shop"`, "\"meshId\":\"sh\xffop\"") }, ReleaseDocument},
		"unknown field":           {func(w *world) { w.payload(`"meshId"`, `"admin":true,"meshId"`) }, ReleaseDocument},
		"nested unknown":          {func(w *world) { w.payload(`"environment"`, `"x":1,"environment"`) }, ReleaseDocument},
		"field twice":             {func(w *world) { w.payload(`"sequence":7`, `"sequence":7,"sequence":8`) }, ReleaseDocument},
		"field folded":            {func(w *world) { w.payload(`"sequence":7`, `"sequence":7,"Sequence":8`) }, ReleaseDocument},
		"above 2^53-1":            {func(w *world) { w.payload(`"sequence":7`, `"sequence":9007199254740992`) }, ReleaseDocument},
		"above 2^53-1, elsewhere": {func(w *world) { w.payload(`"count":1`, `"count":9007199254740992`) }, ReleaseDocument},
		"negative":                {func(w *world) { w.payload(`"sequence":7`, `"sequence":-7`) }, ReleaseDocument},
		"float":                   {func(w *world) { w.payload(`"sequence":7`, `"sequence":7.0`) }, ReleaseDocument},
		"local time":              {func(w *world) { w.payload(`12:00:00Z`, `14:00:00+02:00`) }, ReleaseDocument},
		"newer schema":            {func(w *world) { w.payload(`"schemaVersion":1`, `"schemaVersion":2`) }, ReleaseDocument},
		"other tree":              {func(w *world) { w.payload(artifact.MerkleAlg, "md5") }, ReleaseDocument},
		"upper-case digest":       {func(w *world) { w.payload(w.doc.ContentDigest.Hex(), strings.ToUpper(w.doc.ContentDigest.Hex())) }, ReleaseDocument},
		"bytes after payload":     {func(w *world) { w.raw(releaseType.payloadType(), string(must(json.Marshal(w.doc)))+"{}") }, ReleaseDocument},

		"other mesh":                  {func(w *world) { w.doc.MeshID = "bank"; w.sign(w.ci, w.rebuilder) }, ReleaseMesh},
		"other environment":           {func(w *world) { w.self.Environment = "staging" }, ReleaseAudience},
		"other cluster":               {func(w *world) { w.self.Cluster = "us-1" }, ReleaseAudience},
		"earlier epoch":               {func(w *world) { w.changeRoot(func(r *Root) { r.SequenceEpoch = 1; r.MinReleaseSequence = 0 }) }, ReleaseEpoch},
		"later epoch":                 {func(w *world) { w.doc.SequenceEpoch = 1; w.sign(w.ci, w.rebuilder) }, ReleaseEpoch},
		"below the floor":             {func(w *world) { w.changeRoot(func(r *Root) { r.MinReleaseSequence = 8 }) }, ReleaseFloor},
		"rollback":                    {func(w *world) { w.state = State{Sequence: 8, Release: other} }, ReleaseRollback},
		"same sequence, other digest": {func(w *world) { w.state = State{Sequence: 7, Release: other} }, ReleaseEquivocates},
		"previous is another": {func(w *world) {
			w.doc.PreviousReleaseDigest = artifact.DigestOf([]byte("6"))
			w.sign(w.ci, w.rebuilder)
			w.state = State{Sequence: 6, Release: other}
		}, ReleasePrevious},
		"not yet valid":           {func(w *world) { w.now = noon.Add(-6 * time.Minute) }, ReleaseNotYetValid},
		"from the future":         {func(w *world) { w.doc.IssuedAt = At(noon.Add(time.Hour)); w.sign(w.ci, w.rebuilder) }, ReleaseNotYetValid},
		"expired":                 {func(w *world) { w.now = noon.Add(time.Hour) }, ReleaseExpired},
		"expired, clock set back": {func(w *world) { w.state = State{IssuedAt: At(noon.Add(2 * time.Hour))} }, ReleaseExpired},
		"valid for too long":      {func(w *world) { w.changeRoot(func(r *Root) { r.MaxReleaseValidity = 60 }) }, ReleaseValidity},
		"root expired":            {func(w *world) { w.now = noon.Add(24 * time.Hour) }, RootExpired},
		"older root":              {func(w *world) { w.state = State{RootVersion: 2} }, RootVersion},

		"freshness withheld":               {func(w *world) { w.offer.Freshness = nil }, FreshnessMissing},
		"freshness by CI":                  {func(w *world) { w.freshen(w.ci) }, FreshnessSignature},
		"freshness too large":              {func(w *world) { w.offer.Freshness = make([]byte, MaxEnvelope+1) }, FreshnessTooLarge},
		"freshness malformed":              {func(w *world) { w.offer.Freshness = []byte("[]") }, FreshnessEnvelope},
		"release as freshness":             {func(w *world) { w.offer.Freshness = w.offer.Release }, FreshnessPayloadType},
		"freshness without counter":        {func(w *world) { w.freshness.Counter = 0; w.freshen(w.fresh) }, FreshnessDocument},
		"freshness of another mesh":        {func(w *world) { w.freshness.MeshID = "bank"; w.freshen(w.fresh) }, FreshnessMesh},
		"freshness of another environment": {func(w *world) { w.freshness.Audience.Environment = "x"; w.freshen(w.fresh) }, FreshnessAudience},
		"freshness of another epoch":       {func(w *world) { w.freshness.SequenceEpoch = 1; w.freshen(w.fresh) }, FreshnessEpoch},
		"freshness under a newer root":     {func(w *world) { w.freshness.RootVersion = 2; w.freshen(w.fresh) }, FreshnessRoot},
		"freshness replayed":               {func(w *world) { w.state = State{FreshnessCounter: 4} }, FreshnessRollback},
		"freshness equivocates":            {func(w *world) { w.state = State{FreshnessCounter: 3, Freshness: other} }, FreshnessRollback},
		"freshness from the future": {func(w *world) {
			w.freshness.IssuedAt = At(noon.Add(10 * time.Minute))
			w.freshen(w.fresh)
		}, FreshnessNotYetValid},
		"freshness expired": {func(w *world) {
			w.freshness.ExpiresAt = At(noon.Add(time.Second))
			w.freshen(w.fresh)
			w.now = noon.Add(time.Minute)
		}, FreshnessExpired},
		"freshness for too long":     {func(w *world) { w.changeRoot(func(r *Root) { r.MaxFreshnessValidity = 60 }) }, FreshnessValidity},
		"old release, new pod":       {func(w *world) { w.freshness.CurrentSequence = 8; w.freshen(w.fresh) }, FreshnessSuperseded},
		"current has another digest": {func(w *world) { w.freshness.CurrentReleaseDigest = other; w.freshen(w.fresh) }, FreshnessSuperseded},

		"another workload's leaf": {func(w *world) {
			w.offer.Inclusion = must(w.release.Prove(artifact.Key{SPIFFEID: "spiffe://mesh/ns/shop/sa/payment", Workload: "shop/payment"}))
		}, ReleaseWrongLeaf},
		"a tombstone for another": {func(w *world) {
			w.offer.Inclusion = must(w.release.Prove(artifact.Key{SPIFFEID: "spiffe://mesh/ns/shop/sa/gone", Workload: "shop/gone"}))
		}, ReleaseWrongLeaf},
		"another workload of the identity": {func(w *world) { w.self.Workload = "shop/cart-v2" }, ReleaseWrongLeaf},
		"a tombstone of its own making": {func(w *world) {
			w.offer.Inclusion.Leaf = artifact.Leaf{SPIFFEID: self.SPIFFEID, Workload: self.Workload, Kind: artifact.Tombstone, Sensitivity: artifact.Normal}
		}, ReleaseProof},
		"leaf renamed": {func(w *world) {
			w.offer.Inclusion = must(w.release.Prove(artifact.Key{SPIFFEID: "spiffe://mesh/ns/shop/sa/payment", Workload: "shop/payment"}))
			w.offer.Inclusion.Leaf.SPIFFEID, w.offer.Inclusion.Leaf.Workload = self.SPIFFEID, self.Workload
		}, ReleaseProof},
		"leaf without bundle": {func(w *world) { w.offer.Inclusion.Leaf.Bundle = artifact.Digest{} }, ReleaseProof},
		"leaf less sensitive": {func(w *world) { w.offer.Inclusion.Leaf.Sensitivity = artifact.LockdownOnExpiry }, ReleaseProof},
		"truncated proof":     {func(w *world) { w.offer.Inclusion.Proof = w.offer.Inclusion.Proof[1:] }, ReleaseProof},
		"other place":         {func(w *world) { w.offer.Inclusion.Index++ }, ReleaseProof},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.attack(w)
			a, err := w.verify()
			var refused *Error
			if !errors.As(err, &refused) || refused.Code != test.want || a != nil {
				t.Errorf("accepted %v, error %v, want code %s", a, err, test.want)
			}
		})
	}
}

// TestAnyFlippedByteIsRefused flips every byte of both envelopes: none of
// them is without meaning.
func TestAnyFlippedByteIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, envelope := range []*[]byte{&w.offer.Release, &w.offer.Freshness} {
		whole := *envelope
		for at := 0; at < len(whole); at++ {
			flipped := bytes.Clone(whole)
			flipped[at] ^= 1
			*envelope = flipped
			if _, err := w.verify(); CodeOf(err) == "" {
				t.Fatalf("byte %d of %s: %v", at, whole[max(0, at-20):min(len(whole), at+20)], err)
			}
		}
		*envelope = whole
	}
}

func TestBlobAttacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := must(w.verify())
	closure := append(w.release.Closure(a.Leaf), a.Release.Trust.BundleDigest)
	for _, bad := range closure {
		for _, test := range []struct {
			get  func(artifact.Digest) ([]byte, bool)
			want Code
		}{
			{func(artifact.Digest) ([]byte, bool) { return nil, false }, ReleaseBlobMissing},
			{func(d artifact.Digest) ([]byte, bool) {
				b, ok := w.release.Blob(d)
				return append([]byte("x"), b...), ok
			}, ReleaseDigest},
			{func(d artifact.Digest) ([]byte, bool) { b, ok := w.release.Blob(d); return b[:len(b)-1], ok }, ReleaseDigest},
		} {
			get := func(d artifact.Digest) ([]byte, bool) {
				if d == bad {
					return test.get(d)
				}
				return w.release.Blob(d)
			}
			if _, err := a.Load(get); CodeOf(err) != test.want {
				t.Errorf("blob %s: %v, want code %s", bad, err, test.want)
			}
			if need, err := a.Needs(get); err != nil || !slices.Contains(need, bad) {
				t.Errorf("blob %s: needs %v, %v", bad, need, err)
			}
		}
	}
	if need, err := a.Needs(w.release.Blob); err != nil || len(need) != 0 {
		t.Errorf("needs %v, %v with all blobs there", need, err)
	}
}

// TestCodesAreListed reads this package's source: a code that is put together
// from a kind of document and a fault is one of the constants.
func TestCodesAreListed(t *testing.T) {
	t.Parallel()
	listed, made := map[string]bool{}, map[string]string{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "Code" && len(n.Values) == 1 {
					listed[literal(n.Values[0])] = true
				}
			case *ast.CallExpr:
				for _, code := range madeBy(n) {
					made[code] = e.Name()
				}
			}
			return true
		})
	}
	if len(listed) < 30 || len(made) < 20 {
		t.Fatalf("found %d codes and %d uses: the test no longer understands the source", len(listed), len(made))
	}
	for code, file := range made {
		if !listed[code] {
			t.Errorf("%s makes code %q, which is not a constant", file, code)
		}
	}
}

// madeBy returns the codes that a call of docType.refuse can make.
func madeBy(call *ast.CallExpr) []string {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "refuse" {
		return nil
	}
	fault := literal(call.Args[0])
	for _, t := range []docType{rootType, releaseType, freshnessType} {
		if on, ok := sel.X.(*ast.Ident); ok && on.Name == string(t)+"Type" {
			return []string{string(t) + "-" + fault}
		}
	}
	return []string{"root-" + fault, "release-" + fault, "freshness-" + fault}
}

func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
