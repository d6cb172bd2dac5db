package reconcile

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
)

func object(group, kind, namespace, name, version string) quarantine.Object {
	return quarantine.Object{
		Meta: objects.Meta{Group: group, Version: "v1", Kind: kind, Namespace: namespace, Name: name, ResourceVersion: version},
		Data: []byte(kind + " of version " + version),
	}
}

func byPath(list ...quarantine.Object) map[string]quarantine.Object {
	out := map[string]quarantine.Object{}
	for _, o := range list {
		out[objects.Path(o.Group, o.Kind, o.Namespace, o.Name)] = o
	}
	return out
}

func TestSelection(t *testing.T) {
	v := &view{Snapshot: objects.Snapshot{NamespaceLabels: map[string]map[string]string{"shop": {"mesh": "yes"}, "team": nil}}}
	all := byPath(
		object(v1alpha1.Group, "Mesh", "", "mesh", "1"), object("", "Namespace", "", "shop", "1"), object("", "Namespace", "", "team", "1"),
		object(v1alpha1.Group, "MeshRoute", "shop", "r", "1"), object("", "Service", "shop", "s", "1"), object("", "Service", "team", "s", "1"),
		object("", "Service", "kube-system", "s", "1"), object("", "Service", "mesh-system", "s", "1"),
	)
	yes := &v1alpha1.LabelSelector{MatchLabels: map[string]string{"mesh": "yes"}}
	for name, test := range map[string]struct {
		source v1alpha1.ClusterSource
		want   []string
	}{
		"all":      {v1alpha1.ClusterSource{}, []string{"Mesh mesh", "MeshRoute shop/r", "Namespace shop", "Namespace team", "Service shop/s", "Service team/s"}},
		"labels":   {v1alpha1.ClusterSource{NamespaceSelector: yes}, []string{"Mesh mesh", "MeshRoute shop/r", "Namespace shop", "Service shop/s"}},
		"policies": {v1alpha1.ClusterSource{Kinds: "policies"}, []string{"Mesh mesh", "MeshRoute shop/r"}},
		"facts":    {v1alpha1.ClusterSource{Kinds: "facts", NamespaceSelector: yes}, []string{"Namespace shop", "Service shop/s"}},
	} {
		selected, err := v.selection(&test.source, "mesh-system")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range all {
			if selected(o.Meta) {
				got = append(got, o.String())
			}
		}
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q are selected, want %q", name, got, test.want)
		}
	}
}

func TestAcceptedIsTheSameAgain(t *testing.T) {
	all := byPath(object("", "Namespace", "", "shop", "1"), object(v1alpha1.Group, "AccessPolicy", "shop", "a.b", "22"))
	first, err := encodeAccepted(all)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeAccepted(first)
	if err != nil {
		t.Fatal(err)
	}
	for path, o := range all {
		if g := got[path]; g.String() != o.String() || g.ResourceVersion != o.ResourceVersion || !bytes.Equal(g.Data, o.Data) {
			t.Errorf("%s came back as %+v", path, g)
		}
	}
	if again, err := encodeAccepted(got); err != nil || !bytes.Equal(again, first) || len(got) != len(all) {
		t.Errorf("%d objects are other bytes when they are written again: %v", len(got), err)
	}
	if _, err := decodeAccepted(first[:len(first)-1]); err == nil {
		t.Error("what is cut off is read")
	}
}

// A Release is made for a change of what restricts, though its content is the same: it
// would be lost with this process.
func TestStored(t *testing.T) {
	deny, route := object(v1alpha1.Group, "Invariant", "shop", "i", "1"), object(v1alpha1.Group, "MeshRoute", "shop", "r", "1")
	next := func(o quarantine.Object) quarantine.Object { o.Data = append(slices.Clone(o.Data), "."...); return o }
	const key = "sha256:1"
	for name, test := range map[string]struct {
		inForce map[string]quarantine.Object
		key     string
		want    bool
	}{
		"the same":            {byPath(deny, route), key, true},
		"another route":       {byPath(deny, next(route)), key, true},
		"another deny":        {byPath(next(deny), route), key, false},
		"a deny less":         {byPath(route), key, false},
		"of another Release":  {byPath(deny, route), "sha256:2", false},
		"of none of this way": {byPath(deny, route), "", false},
	} {
		a := &attempt{release: &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Accepted: test.key}}, settled: &quarantine.Outcome{InForce: test.inForce}}
		a.view = &view{last: accepted{key: key, restrict: restricting(byPath(deny, route))}}
		if got := new(Reconciler).stored(a); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// What is on an object is written anew only where it says something else.
func TestConditionsAreWrittenOnce(t *testing.T) {
	policy, service := object(v1alpha1.Group, "AccessPolicy", "shop", "a", "1"), object("", "Service", "shop", "s", "1")
	policy.Generation = 3
	a := &attempt{view: &view{current: byPath(policy, service)}, settled: &quarantine.Outcome{}}
	first := conditionsOf(a)
	if len(first) != 1 || first[0].Name != "a" || first[0].conditions[0].Status != metav1.ConditionTrue || first[0].conditions[0].ObservedGeneration != 3 {
		t.Fatalf("conditions are %+v", first)
	}
	policy.Conditions = first[0].conditions
	a.view.current = byPath(policy, service)
	if again := conditionsOf(a); len(again) > 0 {
		t.Errorf("they are written again: %+v", again)
	}
	path := slices.Collect(maps.Keys(byPath(policy)))[0]
	a.settled.Held = []quarantine.Held{{Path: path, Object: policy, Message: "why"}}
	if held := conditionsOf(a); len(held) != 1 || held[0].conditions[0].Reason != v1alpha1.ReasonQuarantined || held[0].conditions[0].Message != "why" {
		t.Errorf("conditions of what is held back are %+v", held)
	}
}

func TestSettleDown(t *testing.T) {
	t.Parallel()
	changed := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // a steady stream
		for ctx.Err() == nil {
			select {
			case changed <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}()
	settleDown(t.Context(), changed, time.Hour, 50*time.Millisecond) // it ends, or the test does not
	cancel()
	settleDown(t.Context(), nil, time.Millisecond, time.Hour)
}

const facts = `apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: a}, ports: [{name: http, port: 8080}]}
`

// Policies of a directory are about objects of the cluster, which stay while a policy
// needs them, and are not at fault for what is wrong in the directory.
func TestMixed(t *testing.T) {
	service := object("", "Service", "shop", "a", "1")
	service.Data = []byte(facts)
	route := func(to string) string {
		return "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: a, namespace: shop}\n" +
			"spec: {service: a, rules: [{name: all, to: [{service: " + to + "}]}]}\n"
	}
	for name, test := range map[string]struct {
		route             string
		current, accepted map[string]quarantine.Object
		held              int
		refused           bool
	}{
		"all is well":         {route("a"), byPath(service), nil, 0, false},
		"the service is gone": {route("a"), nil, byPath(service), 1, false},
		"there never was one": {route("a"), nil, nil, 0, true},
		"the route is wrong":  {route("b"), byPath(service), byPath(service), 0, true},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "route.yaml"), []byte(test.route), 0o644); err != nil {
			t.Fatal(err)
		}
		set := objects.NewSet()
		for path, o := range test.current {
			set = set.With(path, o.Data)
		}
		a := &attempt{sources: []source{{"policies", dir}}, view: &view{
			Snapshot: objects.Snapshot{Set: set}, dir: "cluster", current: test.current, last: accepted{objects: test.accepted},
		}}
		result, settled := a.compiled(compiler.Options{})
		if refused := settled.Refused != nil; refused != test.refused || len(settled.Held) != test.held {
			t.Errorf("%s: refused: %v, held back: %+v", name, settled.Refused, settled.Held)
		}
		refusing := slices.ContainsFunc(result.Diagnostics, func(d diag.Diagnostic) bool {
			return d.Severity == diag.Error && d.Span.File == "policies/route.yaml"
		})
		if refusing != test.refused || refusing == (result.Release != nil) {
			t.Errorf("%s: the findings are %+v", name, result.Diagnostics)
		}
	}
}
