package agent_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// flip changes one bit in the middle.
func flip(data []byte) []byte {
	out := bytes.Clone(data)
	out[len(out)/2] ^= 1
	return out
}

// TestRefusals offers one false update after the other to a running agent. It
// must name the reason, tell the controller, and go on with the last good one.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := newController(t)
	p := newProxy(t, c)
	c.publish(5, p.slice)
	p.run()
	p.live(5)

	p.slice.header = "next"
	next := p.slice.release(t, c.roots())
	known := slices.Collect(maps.Keys(c.blobs))
	good := c.signed(6, next, c.keys.Release)
	edit := func(f func(*deliveryv1.Update)) *deliveryv1.Update {
		u := proto.Clone(good).(*deliveryv1.Update)
		f(u)
		return u
	}
	stranger, err := sign.GenerateKey(sign.Ed25519, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := next.View(artifact.Key{SPIFFEID: "spiffe://" + trustDomain + "/ns/shop/sa/order", Workload: "shop/order"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name   string
		code   string
		update *deliveryv1.Update
	}{
		{"flipped byte of the leaf", "release-proof", edit(func(u *deliveryv1.Update) { u.Leaf = flip(u.Leaf) })},
		{"flipped byte of the proof", "release-proof", edit(func(u *deliveryv1.Update) { u.Proof[0] = flip(u.Proof[0]) })},
		{"flipped bit of the index", "release-proof", edit(func(u *deliveryv1.Update) { u.Index ^= 1 })},
		{"no proof", "release-proof", edit(func(u *deliveryv1.Update) { u.Proof = nil })},
		{"truncated leaf", "release-proof", edit(func(u *deliveryv1.Update) { u.Leaf = u.Leaf[:len(u.Leaf)-3] })},
		{"long proof", "release-proof", edit(func(u *deliveryv1.Update) { u.Proof = slices.Repeat(u.Proof[:1], 4000) })},
		{"another workload's leaf", "release-wrong-leaf", edit(func(u *deliveryv1.Update) {
			u.Leaf, u.Index, u.Proof = other.Leaf.Encode(), uint64(other.Index), nil
			for _, d := range other.Proof {
				u.Proof = append(u.Proof, d[:])
			}
		})},
		{"truncated envelope", "release-envelope", edit(func(u *deliveryv1.Update) { u.Envelope = u.Envelope[:len(u.Envelope)-2] })},
		{"huge envelope", "release-too-large", edit(func(u *deliveryv1.Update) { u.Envelope = bytes.Repeat([]byte(" "), 65<<10) })},
		{"wrong key", "release-signature", c.signed(6, next, stranger)},
		{"older sequence", "release-rollback", c.signed(4, next, c.keys.Release)},
		{"same sequence, other content", "release-equivocates", c.signed(5, next, c.keys.Release)},
		{"another mesh", "release-mesh", c.signed(6, next, c.keys.Release, func(d *sign.ReleaseDoc) { d.MeshID = "another" })},
		{"another environment", "release-audience", c.signed(6, next, c.keys.Release, func(d *sign.ReleaseDoc) { d.Audience.Environment = "staging" })},
		{"a root of strangers", "root-signature", edit(func(u *deliveryv1.Update) { u.Roots = [][]byte{strangersRoot(t)} })},
		{"too many roots", "root-too-large", edit(func(u *deliveryv1.Update) { u.Roots = make([][]byte, 100) })},
	} {
		p.refused(f.name, f.code, func() { c.change(func() { c.update = f.update }) })
	}

	// Every byte of every blob counts: the download is what is spoiled now.
	for name, f := range map[string]struct {
		code    string
		corrupt func(artifact.Digest, []byte) []byte
	}{
		"flipped byte of blobs": {"release-digest", func(_ artifact.Digest, data []byte) []byte { return flip(data) }},
		"truncated blob":        {"release-digest", func(_ artifact.Digest, data []byte) []byte { return data[:len(data)-1] }},
		"download that ends":    {"release-blob-missing", func(artifact.Digest, []byte) []byte { return nil }},
	} {
		p.refused(name, f.code, func() { c.change(func() { c.update, c.corrupt = good, f.corrupt }) })
	}
	// One spoiled blob among good ones is enough. The good one before it is kept,
	// and not asked for again, so that each round has one less.
	for range len(c.besides(known)) - 1 {
		var asked atomic.Int64
		p.refused("flipped byte of one blob", "release-digest", func() {
			c.change(func() {
				c.update, c.corrupt = good, func(_ artifact.Digest, data []byte) []byte {
					if asked.Add(1) == 2 {
						return flip(data)
					}
					return data
				}
			})
		})
	}

	// After all of that, the good one is taken.
	c.change(func() { c.update, c.corrupt = good, nil })
	p.live(6)
	p.wantRelease("next")
}

// refused does something false and waits for the refusal.
func (p *proxy) refused(name, code string, do func()) {
	p.t.Helper()
	before := p.status().Refusals[code]
	do()
	p.until(func() error {
		if s := p.status(); s.Refusals[code] == before {
			return fmt.Errorf("%s: no refusal %s, but %v: %s", name, code, s.Refusals, s.Error)
		}
		return nil
	})
	p.until(func() error {
		r := p.controller.report()
		if r.GetState() != deliveryv1.ReportRequest_STATE_REFUSED || r.GetCode() != code || r.GetSequence() != 5 {
			return fmt.Errorf("%s: reported %v", name, r)
		}
		return nil
	})
	if status, release := p.get("/"); status != http.StatusOK || release != "1" {
		p.t.Errorf("%s: status %d by release %q, want 200 by the last good one", name, status, release)
	}
}

// besides returns the blobs that are not among known.
func (c *controller) besides(known []artifact.Digest) (out []artifact.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range c.blobs {
		if !slices.Contains(known, d) {
			out = append(out, d)
		}
	}
	return out
}

func strangersRoot(t *testing.T) []byte {
	t.Helper()
	return newController(t).keys.Document
}
