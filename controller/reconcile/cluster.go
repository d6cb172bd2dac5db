package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
)

// view is the objects of the cluster that sources of a PolicySync select. An object
// belongs to the first source that selects it; all are shown as one directory, of the
// first source's name.
type view struct {
	objects.Snapshot
	dir     string
	current map[string]quarantine.Object
	refuse  map[string]bool // objects of a source that is refused whole
	last    accepted
}

// systemNamespaces are no part of a mesh unless a selector says so.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease"}

// How long an attempt waits for objects that are being read, and how often it looks.
const syncWait, syncPoll = 15 * time.Second, 50 * time.Millisecond

// cluster adds what a source selects to the attempt, and returns the source's revision.
func (r *Reconciler) cluster(ctx context.Context, a *attempt, s v1alpha1.PolicySource) (revision string, err error) {
	if a.view == nil {
		if a.view, err = r.look(ctx, string(s.Name)); err != nil {
			return "", err
		}
	}
	selected, err := a.view.selection(s.Cluster, r.Namespace)
	if err != nil {
		return "", stall(v1alpha1.ReasonSourceNotReady, fmt.Errorf("source %s: %w", s.Name, err))
	}
	h := sha256.New()
	for _, path := range a.view.Set.Paths() {
		if _, taken := a.view.current[path]; taken || !selected(a.view.Meta[path]) {
			continue
		}
		data, _ := a.view.Set.Get(path)
		a.view.current[path] = quarantine.Object{Meta: a.view.Meta[path], Data: data}
		a.view.refuse[path] = s.OnError == v1alpha1.OnErrorRefuse
		for _, part := range [][]byte{[]byte(path), data} {
			_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash takes everything
			h.Write(part)
		}
	}
	return "cluster@sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// look reads what the cluster holds, and what of it was accepted last.
func (r *Reconciler) look(ctx context.Context, dir string) (*view, error) {
	known, err := r.known()
	if err != nil {
		return nil, retry(v1alpha1.ReasonSourceNotReady, err)
	}
	wait, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	for missing := known.Unread(); len(missing) > 0; missing = known.Unread() {
		select {
		case <-time.After(syncPoll):
		case <-wait.Done():
			return nil, retry(v1alpha1.ReasonSourceNotReady, fmt.Errorf("the objects of the cluster are not all read yet: %q", missing))
		}
	}
	v := &view{Snapshot: known.Snapshot(), dir: dir, current: map[string]quarantine.Object{}, refuse: map[string]bool{}}
	if v.last, err = r.lastAccepted(ctx); err != nil {
		return nil, err
	}
	for path, o := range v.last.objects {
		if _, there := v.Meta[path]; !there && !known.Watches(o.Group, o.Kind) {
			// The API server tells of kinds some time after it started. Without their
			// objects a deny could be gone.
			return nil, retry(v1alpha1.ReasonSourceNotReady, fmt.Errorf("%s was accepted, and its kind is not installed any more", o))
		}
	}
	return v, nil
}

// selection returns whether a source selects an object. What has no namespace is part
// of every mesh.
func (v *view) selection(s *v1alpha1.ClusterSource, own string) (func(objects.Meta) bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(s.NamespaceSelector.Selector())
	if err != nil {
		return nil, fmt.Errorf("namespaceSelector: %w", err)
	}
	return func(m objects.Meta) bool {
		if k, _ := objects.KindOf(m.Group, m.Kind); s.Kinds == "policies" && !k.Policy || s.Kinds == "facts" && k.Policy {
			return false
		}
		switch namespace := m.Scope(); {
		case namespace == "":
			return true
		case s.NamespaceSelector == nil:
			return namespace != own && !slices.Contains(systemNamespaces, namespace)
		default:
			return selector.Matches(labels.Set(v.NamespaceLabels[namespace]))
		}
	}, nil
}

// settle compiles with the objects of the cluster that may be in force.
func (a *attempt) settle(opt compiler.Options) quarantine.Outcome {
	files := a.view.Set.Filter(func(path string) bool { _, ok := a.view.current[path]; return ok })
	dir := a.view.dir
	if len(a.sources) == 0 {
		dir = "" // it is the only one
	}
	return quarantine.Settle(quarantine.Input{
		Current: a.view.current, Accepted: a.view.last.objects, Before: a.view.last.held, Files: files, Dir: dir,
		Refuse: func(path string) bool { return a.view.refuse[path] },
		Compile: func(set *objects.Set, kept func(string) bool) *compiler.Result {
			opt.Kept = kept
			result, _ := compiler.Compile(a.tree(set), opt)
			opt.Previous = result
			return result
		},
	})
}

// compiled compiles the sources of an attempt. It changes nothing of the attempt, which
// may be over when it ends.
func (a *attempt) compiled(opt compiler.Options) (*compiler.Result, *quarantine.Outcome) {
	if a.view == nil {
		result, _ := compiler.Compile(a.tree(nil), opt)
		return result, nil
	}
	settled := a.settle(opt)
	if settled.Result == nil {
		return settled.First, &settled
	}
	return settled.Result, &settled
}
