package signing

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// at is a Release of a sync that was made some seconds after the first.
func at(name, sync string, second int) v1alpha1.Release {
	r := v1alpha1.Release{}
	r.Name, r.Spec.Sync = name, v1alpha1.Name(sync)
	r.CreationTimestamp = metav1.NewTime(time.Unix(int64(second), 0))
	return r
}

func TestLatest(t *testing.T) {
	deleted := at("mesh-30", "mesh", 1)
	deleted.DeletionTimestamp = &metav1.Time{}
	tests := map[string]struct {
		releases []v1alpha1.Release
		want     string
	}{
		"none":                   {nil, ""},
		"numbers, not text":      {[]v1alpha1.Release{at("mesh-9", "mesh", 1), at("mesh-10", "mesh", 2)}, "mesh-10"},
		"numbers, not clocks":    {[]v1alpha1.Release{at("mesh-9", "mesh", 3), at("mesh-10", "mesh", 2)}, "mesh-10"},
		"the sync in use":        {[]v1alpha1.Release{at("old-70", "old", 1), at("new-1", "new", 2)}, "new-1"},
		"one that is going away": {[]v1alpha1.Release{deleted, at("mesh-2", "mesh", 1)}, "mesh-2"},
		"only that one":          {[]v1alpha1.Release{deleted}, ""},
	}
	for name, test := range tests {
		got := ""
		if r := latest(test.releases); r != nil {
			got = r.Name
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestPick(t *testing.T) {
	m := newMesh(t)
	now := time.Now()
	half := now.Add(signerValidity / 2)
	one, two := m.release("mesh-1", 1), m.release("mesh-2", 2)
	signed := m.signed(one, 5, now)
	foreign := newMesh(t).signed(two, 9, now)
	inCI := two
	inCI.Spec.Envelope = m.signed(two, 6, now).Status.Signature.Envelope
	other := m.signed(one, 6, now)
	other.Spec.Content = two.Spec.Content[:len(two.Spec.Content)-1] + "0"
	tests := map[string]struct {
		releases []v1alpha1.Release
		shown    uint64
		now      time.Time
		want     string
		why      string
		highest  uint64
	}{
		"nothing":                      {nil, 0, now, "", "", 0},
		"a new one":                    {[]v1alpha1.Release{one}, 0, now, "mesh-1", whyNew, 0},
		"a newer one":                  {[]v1alpha1.Release{signed, two}, 0, now, "mesh-2", whyNew, 5},
		"signed":                       {[]v1alpha1.Release{signed}, 5, now, "", "", 5},
		"half of its time is over":     {[]v1alpha1.Release{signed}, 0, half, "mesh-1", whyRenewed, 5},
		"never an older one":           {[]v1alpha1.Release{one, m.signed(two, 5, now)}, 0, now, "", "", 5},
		"nor one after CI's":           {[]v1alpha1.Release{one, inCI}, 0, half, "", "", 6},
		"an older one has a higher":    {[]v1alpha1.Release{m.signed(one, 8, now), m.signed(two, 7, now)}, 0, now, "mesh-2", whyBehind, 8},
		"agents show a higher":         {[]v1alpha1.Release{signed}, 70, now, "mesh-1", whyBehind, 70},
		"and everything else is lost":  {[]v1alpha1.Release{one}, 70, now, "mesh-1", whyNew, 70},
		"but not any":                  {[]v1alpha1.Release{signed}, 1 << 40, now, "", "", 5},
		"another mesh's signature":     {[]v1alpha1.Release{foreign}, 0, now, "mesh-2", whyNew, 0},
		"a signature of other content": {[]v1alpha1.Release{other}, 0, now, "mesh-1", whyNew, 6},
	}
	for name, test := range tests {
		got := pick(m.root, view{test.releases, test.shown}, test.now)
		picked := ""
		if got.release != nil {
			picked = got.release.Name
		}
		if picked != test.want || got.why != test.why || got.highest != test.highest {
			t.Errorf("%s: %q as %q above %d, want %q as %q above %d", name, picked, got.why, got.highest, test.want, test.why, test.highest)
		}
	}
}

// A root that raises the epoch or the floor makes signatures of before none.
func TestPickUnderAnotherRoot(t *testing.T) {
	for name, edit := range map[string]func(*sign.Root){
		"epoch": func(r *sign.Root) { r.SequenceEpoch = 1 },
		"floor": func(r *sign.Root) { r.MinReleaseSequence = 100 },
	} {
		m := newMesh(t)
		signed := m.signed(m.release("mesh-1", 1), 5, time.Now())
		if got := pick(m.next(t, edit), view{releases: []v1alpha1.Release{signed}}, time.Now()); got.release == nil || got.why != whyNew {
			t.Errorf("%s: the old signature is good enough: %+v", name, got)
		}
	}
}
