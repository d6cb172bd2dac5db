package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unique"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// store takes what a reflector reads straight into the facts: objects themselves
// are kept by nobody.
type store[T any] struct {
	source  *Source
	set     func(*facts, T)
	remove  func(*facts, T)
	replace func(*facts, []T)
	strip   func(T) // drops what is large and not needed, while a list comes in
}

func (s *store[T]) do(object any, change func(*facts, T)) error {
	o, ok := object.(T)
	if !ok {
		return fmt.Errorf("watching endpoints: a %T came", object)
	}
	s.source.change(func(f *facts) { change(f, o) })
	return nil
}

func (s *store[T]) Add(o any) error    { return s.do(o, s.set) }
func (s *store[T]) Update(o any) error { return s.do(o, s.set) }
func (s *store[T]) Delete(o any) error { return s.do(o, s.remove) }
func (s *store[T]) Resync() error      { return nil }

// Replace implements cache.ReflectorStore.
func (s *store[T]) Replace(list []any, _ string) error {
	all := make([]T, 0, len(list))
	for _, object := range list {
		o, ok := object.(T)
		if !ok {
			return fmt.Errorf("watching endpoints: a %T came", object)
		}
		all = append(all, o)
	}
	s.source.change(func(f *facts) { s.replace(f, all) })
	return nil
}

// Transformer implements cache.TransformingStore.
func (s *store[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if o, ok := object.(T); ok {
			s.strip(o)
		}
		return object, nil
	}
}

// change changes the facts and wakes who computes what is dirty.
func (s *Source) change(do func(*facts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.facts)
	if len(s.facts.dirty) > 0 {
		signal(s.wake)
	}
}

// reflect runs a reflector until ctx ends. It comes back sooner than others, which
// wait up to half a minute: endpoints that are old for so long cost requests.
func (s *Source) reflect(ctx context.Context, what string, from cache.ListerWatcher, example runtime.Object, into cache.ReflectorStore) {
	log := logr.FromSlogHandler(s.opt.Log.Handler())
	r := cache.NewReflectorWithOptions(from, example, into, cache.ReflectorOptions{Name: what, Logger: &log, Backoff: &wait.Backoff{
		Duration: 200 * time.Millisecond, Factor: 2, Steps: 5, Cap: 5 * time.Second, Jitter: 1,
	}})
	r.RunWithContext(klog.NewContext(ctx, log))
}

func (s *Source) watchSlices(ctx context.Context) {
	client := s.client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll)
	of := func(opt metav1.ListOptions) metav1.ListOptions {
		opt.LabelSelector = discoveryv1.LabelServiceName
		return opt
	}
	s.reflect(ctx, "endpointslices", cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opt metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, of(opt))
		},
		WatchFuncWithContext: func(ctx context.Context, opt metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, of(opt))
		},
	}, s.client), &discoveryv1.EndpointSlice{}, s.sliceStore())
}

func (s *Source) sliceStore() *store[*discoveryv1.EndpointSlice] {
	name := func(o *discoveryv1.EndpointSlice) text { return unique.Make(o.Namespace + "/" + o.Name) }
	return &store[*discoveryv1.EndpointSlice]{
		source: s,
		set:    func(f *facts, o *discoveryv1.EndpointSlice) { f.setSlice(name(o), compact(o)) },
		remove: func(f *facts, o *discoveryv1.EndpointSlice) { f.setSlice(name(o), nil) },
		replace: func(f *facts, list []*discoveryv1.EndpointSlice) {
			all := make(map[text]*slice, len(list))
			for _, o := range list {
				if kept := compact(o); kept != nil {
					all[name(o)] = kept
				}
			}
			f.replaceSlices(all)
		},
		strip: func(o *discoveryv1.EndpointSlice) { o.ManagedFields, o.Annotations, o.OwnerReferences = nil, nil, nil },
	}
}

func (s *Source) nodeStore() *store[*metav1.PartialObjectMetadata] {
	name := func(o *metav1.PartialObjectMetadata) text { return unique.Make(o.Name) }
	where := func(o *metav1.PartialObjectMetadata) place {
		return place{zone: unique.Make(o.Labels[corev1.LabelTopologyZone]), region: unique.Make(o.Labels[corev1.LabelTopologyRegion])}
	}
	return &store[*metav1.PartialObjectMetadata]{
		source: s,
		set:    func(f *facts, o *metav1.PartialObjectMetadata) { f.setNode(name(o), where(o), true) },
		remove: func(f *facts, o *metav1.PartialObjectMetadata) { f.setNode(name(o), place{}, false) },
		replace: func(f *facts, list []*metav1.PartialObjectMetadata) {
			all := make(map[text]place, len(list))
			for _, o := range list {
				all[name(o)] = where(o)
			}
			f.replaceNodes(all)
		},
		strip: func(o *metav1.PartialObjectMetadata) {
			strip(o, []string{corev1.LabelTopologyRegion, corev1.LabelTopologyZone})
		},
	}
}

// watchPods watches pods for the labels that some version is known by: from the
// beginning, when a release has a version by another label, and not at all while
// none has any.
func (s *Source) watchPods(ctx context.Context) {
	var keys []string
	var watching running
	defer watching.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.rekey:
		}
		s.mu.Lock()
		want := s.keys
		s.mu.Unlock()
		if !slices.ContainsFunc(want, func(k string) bool { return !slices.Contains(keys, k) }) {
			continue
		}
		keys = want
		watching.restart(ctx, func(ctx context.Context) { s.watchMetadata(ctx, "pods", s.podStore(want)) })
	}
}

// running is something that runs until it is stopped.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (r *running) stop() {
	if r.cancel != nil {
		r.cancel()
		<-r.done
	}
}

func (r *running) restart(ctx context.Context, run func(context.Context)) {
	r.stop()
	ctx, r.cancel = context.WithCancel(ctx)
	done := make(chan struct{})
	r.done = done
	go func() {
		defer close(done)
		run(ctx)
	}()
}

func (s *Source) podStore(keys []string) *store[*metav1.PartialObjectMetadata] {
	kept := func(o *metav1.PartialObjectMetadata) map[string]string {
		strip(o, keys)
		return o.Labels
	}
	return &store[*metav1.PartialObjectMetadata]{
		source: s,
		set:    func(f *facts, o *metav1.PartialObjectMetadata) { f.setPod(o.Namespace, o.Name, kept(o)) },
		remove: func(f *facts, o *metav1.PartialObjectMetadata) { f.removePod(o.Namespace, o.Name) },
		replace: func(f *facts, list []*metav1.PartialObjectMetadata) {
			all := make(map[podID]text, len(list))
			for _, o := range list {
				all[podOf(o.Namespace, o.Name)] = encode(kept(o))
			}
			f.replacePods(all, keys)
		},
		strip: func(o *metav1.PartialObjectMetadata) { strip(o, keys) },
	}
}

// strip leaves an object its name and the labels of these keys.
func strip(o *metav1.PartialObjectMetadata, keys []string) {
	labels := map[string]string{}
	for _, k := range keys {
		if v, ok := o.Labels[k]; ok {
			labels[k] = v
		}
	}
	o.ObjectMeta = metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion, Labels: labels}
}

func (s *Source) watchMetadata(ctx context.Context, resource string, into *store[*metav1.PartialObjectMetadata]) {
	client := s.metadata.Resource(corev1.SchemeGroupVersion.WithResource(resource))
	s.reflect(ctx, resource, cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opt metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, opt)
		},
		WatchFuncWithContext: func(ctx context.Context, opt metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, opt)
		},
	}, s.metadata), &metav1.PartialObjectMetadata{}, into)
}
