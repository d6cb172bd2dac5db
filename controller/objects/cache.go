package objects

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
)

// CacheOptions of a Cache.
type CacheOptions struct {
	Log *slog.Logger
	// Skip, where set, leaves out the objects of a namespace.
	Skip func(namespace string) bool
	// Discovery is how often kinds whose CRD is not installed are looked for; 30 s
	// where 0.
	Discovery time.Duration
}

// Meta is what is known of an object besides its file.
type Meta struct {
	Group, Kind, Namespace, Name string
	UID, ResourceVersion         string
}

// Cache keeps the objects of a cluster as a Set. Of each object only the file is
// kept.
type Cache struct {
	opt     CacheOptions
	client  dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	changed chan struct{}

	mu      sync.Mutex
	set     *Set
	meta    map[string]Meta
	labels  map[string]map[string]string // of namespaces
	watched map[schema.GroupKind]cache.InformerSynced
	looked  bool
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
		opt: opt, client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discover)),
		changed: make(chan struct{}, 1), set: NewSet(), meta: map[string]Meta{},
		labels: map[string]map[string]string{}, watched: map[schema.GroupKind]cache.InformerSynced{},
	}, nil
}

// Run watches until ctx ends. Kinds whose CRD comes later are watched from then on.
func (c *Cache) Run(ctx context.Context) error {
	tick := time.NewTicker(c.opt.Discovery)
	defer tick.Stop()
	for {
		c.mapper.Reset()
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
	for _, k := range Kinds() {
		gk := schema.GroupKind{Group: k.Group, Kind: k.Kind}
		c.mu.Lock()
		_, known := c.watched[gk]
		c.mu.Unlock()
		if known {
			continue
		}
		mapping, err := c.mapper.RESTMapping(gk, k.Versions...)
		if meta.IsNoMatchError(err) {
			continue // not installed
		}
		if err != nil {
			return fmt.Errorf("finding %s: %w", gk, err)
		}
		if err := c.watch(ctx, gk, mapping.Resource); err != nil {
			return fmt.Errorf("watching %s: %w", gk, err)
		}
	}
	c.mu.Lock()
	c.looked = true
	c.mu.Unlock()
	return nil
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

// entry is what stays of an object in the informer's own store.
const rendered = "mesh-compile.dev/rendered"

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
			Group: gvk.Group, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName(),
			UID: string(u.GetUID()), ResourceVersion: u.GetResourceVersion(),
		}
		if old, ok := c.set.Get(name); !ok || string(old) != text {
			c.set = c.set.With(name, []byte(text))
		}
	})
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

// Synced reports whether everything that was there at the start is in the set.
func (c *Cache) Synced() bool {
	c.mu.Lock()
	watched, looked := maps.Clone(c.watched), c.looked
	c.mu.Unlock()
	for _, synced := range watched {
		if !synced() {
			return false
		}
	}
	return looked
}

// Set returns what the cluster holds now.
func (c *Cache) Set() *Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set
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
