package objects

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// CacheOptions of a Cache.
type CacheOptions struct {
	Log *slog.Logger
	// Skip, where set, leaves out the objects of a namespace.
	Skip func(namespace string) bool
	// Discovery is how often is looked for kinds whose CRD has come; 30 s where 0.
	Discovery time.Duration
}

// Meta is what is known of an object besides its file.
type Meta struct {
	Group, Version, Kind, Namespace, Name string
	UID, ResourceVersion                  string
	Generation                            int64
	Conditions                            []metav1.Condition // of native policies
}

// Scope is the namespace that an object is about, "" where it is about the cluster.
func (m Meta) Scope() string {
	if m.Group == "" && m.Kind == "Namespace" {
		return m.Name
	}
	return m.Namespace
}

// MeshWide reports whether an object speaks for the whole mesh.
func (m Meta) MeshWide() bool { return dialect.MeshWide(m.Group, m.Scope()) }

func (m Meta) String() string {
	if m.Namespace == "" {
		return m.Kind + " " + m.Name
	}
	return m.Kind + " " + m.Namespace + "/" + m.Name
}

// Cache keeps the objects of a cluster as a Set. Of each object only the file is
// kept.
type Cache struct {
	opt      CacheOptions
	client   dynamic.Interface
	discover discoverer
	changed  chan struct{}

	mu        sync.Mutex
	set       *Set
	meta      map[string]Meta
	labels    map[string]map[string]string // of namespaces
	watched   map[schema.GroupKind]cache.InformerSynced
	installed []Resource
	looked    bool
}

// NewCache returns a cache of nothing; Run fills it.
func NewCache(config *rest.Config, opt CacheOptions) (*Cache, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	discover, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	if opt.Discovery == 0 {
		opt.Discovery = 30 * time.Second
	}
	return &Cache{
		opt: opt, client: client, discover: discover,
		changed: make(chan struct{}, 1), set: NewSet(), meta: map[string]Meta{},
		labels: map[string]map[string]string{}, watched: map[schema.GroupKind]cache.InformerSynced{},
	}, nil
}

// Run watches until ctx ends. Kinds whose CRD comes later are watched from then on.
func (c *Cache) Run(ctx context.Context) error {
	tick := time.NewTicker(c.opt.Discovery)
	defer tick.Stop()
	for {
		if err := c.watchAll(ctx); err != nil {
			c.opt.Log.Warn("looking for the kinds of the cluster", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *Cache) watchAll(ctx context.Context) error {
	resources, err := discover(c.discover)
	if err != nil {
		return err
	}
	for _, r := range resources {
		gk := schema.GroupKind{Group: r.Group, Kind: r.Kind.Kind}
		if c.Watches(r.Group, r.Kind.Kind) {
			continue
		}
		if err := c.watch(ctx, gk, r.gvr()); err != nil {
			return fmt.Errorf("watching %s: %w", gk, err)
		}
	}
	c.mu.Lock()
	c.installed, c.looked = resources, true
	c.mu.Unlock()
	return nil
}

// Installed returns the kinds that the cluster had when it was looked last.
func (c *Cache) Installed() []Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.installed
}

func (c *Cache) watch(ctx context.Context, gk schema.GroupKind, resource schema.GroupVersionResource) error {
	informer := dynamicinformer.NewFilteredDynamicInformer(c.client, resource, "", 0, cache.Indexers{}, nil).Informer()
	if err := informer.SetTransform(c.slim); err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.put,
		UpdateFunc: func(_, o any) { c.put(o) },
		DeleteFunc: c.remove,
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.watched[gk] = registration.HasSynced
	c.mu.Unlock()
	go informer.Run(ctx.Done())
	return nil
}

// rendered is the file of an object in what stays of it in the informer's own store,
// conditions those of its status.
const rendered, conditions = "mesh-compile.dev/rendered", "mesh-compile.dev/conditions"

// slim makes the file of an object and drops the rest.
func (c *Cache) slim(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil
	}
	if _, done := u.Object[rendered]; done {
		return u, nil
	}
	text, err := Render(u)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{Object: map[string]any{rendered: string(text)}}
	out.SetGroupVersionKind(u.GroupVersionKind())
	out.SetNamespace(u.GetNamespace())
	out.SetName(u.GetName())
	out.SetUID(u.GetUID())
	out.SetResourceVersion(u.GetResourceVersion())
	out.SetGeneration(u.GetGeneration())
	if list, ok, _ := unstructured.NestedSlice(u.Object, "status", "conditions"); ok && u.GroupVersionKind().Group == v1alpha1.Group {
		out.Object[conditions] = list
	}
	if u.GetKind() == "Namespace" {
		out.SetLabels(u.GetLabels())
	}
	return out, nil
}

func (c *Cache) put(o any) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return
	}
	text, _ := u.Object[rendered].(string)
	gvk := u.GroupVersionKind()
	c.change(func() {
		if gvk.Group == "" && gvk.Kind == "Namespace" {
			c.labels[u.GetName()] = u.GetLabels()
		}
		if c.skips(u) {
			return
		}
		name := PathOf(u)
		c.meta[name] = Meta{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName(),
			UID: string(u.GetUID()), ResourceVersion: u.GetResourceVersion(), Generation: u.GetGeneration(),
			Conditions: conditionsOf(u),
		}
		if old, ok := c.set.Get(name); !ok || string(old) != text {
			c.set = c.set.With(name, []byte(text))
		}
	})
}

func conditionsOf(u *unstructured.Unstructured) []metav1.Condition {
	var status struct {
		Conditions []metav1.Condition `json:"conditions"`
	}
	list := map[string]any{"conditions": u.Object[conditions]}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(list, &status) != nil {
		return nil // the API server has checked its shape
	}
	return status.Conditions
}

func (c *Cache) remove(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return
	}
	c.change(func() {
		if u.GetKind() == "Namespace" {
			delete(c.labels, u.GetName())
		}
		c.set = c.set.Without(PathOf(u))
		delete(c.meta, PathOf(u))
	})
}

func (c *Cache) skips(u *unstructured.Unstructured) bool {
	namespace := u.GetNamespace()
	if u.GetKind() == "Namespace" {
		namespace = u.GetName()
	}
	return c.opt.Skip != nil && namespace != "" && c.opt.Skip(namespace)
}

// change edits under the lock and tells the waiter if the set became another.
func (c *Cache) change(edit func()) {
	c.mu.Lock()
	before := c.set
	edit()
	same := before == c.set
	c.mu.Unlock()
	if same {
		return
	}
	select {
	case c.changed <- struct{}{}:
	default: // one is waiting already
	}
}

// Synced reports whether everything that was there at the start is in the set, but for
// kinds without a translator: nothing that others mean hangs on these, and a CRD of
// somebody else's that cannot be read must not end admission.
func (c *Cache) Synced() bool {
	return len(c.unread(func(k Kind) bool { return k.Translated })) == 0
}

// Unread lists the kinds of which not everything is in the set that was there at the
// start, but for those that are left out whatever they say.
func (c *Cache) Unread() []string {
	return c.unread(func(k Kind) bool { return k.Translated || k.Restricts })
}

func (c *Cache) unread(counts func(Kind) bool) []string {
	c.mu.Lock()
	watched, looked := maps.Clone(c.watched), c.looked
	c.mu.Unlock()
	if !looked {
		return []string{"all"}
	}
	var out []string
	for kind, synced := range watched {
		if k, _ := KindOf(kind.Group, kind.Kind); counts(k) && !synced() {
			out = append(out, kind.String())
		}
	}
	slices.Sort(out)
	return out
}

// Set returns what the cluster holds now.
func (c *Cache) Set() *Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set
}

// Snapshot is what the cluster holds at one moment.
type Snapshot struct {
	Set             *Set
	Meta            map[string]Meta              // by path
	NamespaceLabels map[string]map[string]string // by name
}

// Snapshot returns what the cluster holds now, with what is known of each object.
func (c *Cache) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Snapshot{Set: c.set, Meta: maps.Clone(c.meta), NamespaceLabels: maps.Clone(c.labels)}
}

// Watches reports whether a kind is installed and its objects are watched. Of one
// that is not, nobody knows whether there are none.
func (c *Cache) Watches(group, kind string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.watched[schema.GroupKind{Group: group, Kind: kind}]
	return ok
}

// Changed receives a value when the set became another.
func (c *Cache) Changed() <-chan struct{} { return c.changed }

// Meta returns what is known of an object by its file.
func (c *Cache) Meta(name string) (Meta, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.meta[name]
	return m, ok
}

// NamespaceLabels returns the labels of a namespace, nil where it is not known.
func (c *Cache) NamespaceLabels(name string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.labels[name]
}
