package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

const (
	churned = 200 // pods that come and go
	crowd   = 25  // of them at once
	// lame is how long a pod still answers after it was removed, as a preStop hook makes it: nobody
	// can know sooner than the news travel.
	lame = 3 * time.Second
)

// endpointsChurn: pods of the catalog come and go, 200 in all, and no request notices.
func (w *world) endpointsChurn() {
	var wg sync.WaitGroup
	load := w.underLoad(func() {
		var before []*standIn
		for round := range churned / crowd {
			now := w.crowd(round)
			w.gone(before, &wg)
			before = now
		}
		w.gone(before, &wg)
		w.known(2)
		wg.Wait() // the last ones stop listening under load, too
	})
	if load.Requests < churned {
		w.t.Errorf("there were %d requests for %d pods", load.Requests, churned)
	}
}

// standIn is a pod whose address leads to the Envoy of catalog-v1: what is proved is that endpoints
// follow pods, for which 200 Envoys are not needed.
type standIn struct {
	name, ip string
	listener net.Listener
}

// crowd runs pods and waits until they are endpoints.
func (w *world) crowd(round int) []*standIn {
	w.t.Helper()
	out := make([]*standIn, crowd)
	errs := make([]error, crowd)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i], errs[i] = w.standIn(fmt.Sprintf("crowd-%d-%d", round, i)) })
	}
	wg.Wait()
	w.must(errors.Join(errs...))
	w.until(func(ctx context.Context) error {
		ready, err := w.cluster.Endpoints(ctx, "shop", "catalog")
		for _, s := range out {
			if err == nil && !slices.Contains(ready, s.ip) {
				err = fmt.Errorf("%s is no endpoint", s.name)
			}
		}
		return err
	})
	return out
}

func (w *world) standIn(name string) (*standIn, error) {
	s := &standIn{name: name, ip: kubetest.PodIP()}
	var err error
	if s.listener, err = net.Listen("tcp", s.ip+":8080"); err != nil {
		return nil, err
	}
	go forward(s.listener, w.catalogV1.IP+":8080")
	_, err = w.cluster.TryRunPod(w.t.Context(), kubetest.Pod{
		Namespace: "shop", Name: name, ServiceAccount: "catalog", IP: s.ip, Labels: map[string]string{"app": "catalog", "version": "v1"},
	})
	return s, err
}

// gone removes pods; they stop listening a little later.
func (w *world) gone(pods []*standIn, wg *sync.WaitGroup) {
	for _, s := range pods {
		w.must(w.cluster.DeletePod(w.t.Context(), "shop", s.name))
		wg.Go(func() {
			time.Sleep(lame)
			s.listener.Close()
		})
	}
}

// known waits until so many addresses are endpoints of the catalog in the customer's Envoy.
func (w *world) known(want int) {
	w.t.Helper()
	w.until(func(context.Context) error {
		got, err := w.customer.Upstreams("catalog")
		if err == nil && len(got) != want {
			err = fmt.Errorf("the customer's Envoy knows %d endpoints of the catalog, want %d: %v", len(got), want, got)
		}
		return err
	})
}

// forward copies the connections of a listener to an address until it is closed.
func forward(l net.Listener, address string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer to.Close()
			go func() {
				_, _ = io.Copy(to, from)
				to.Close()
			}()
			_, _ = io.Copy(from, to)
		}()
	}
}

// endpointLimit is far above what is measured, about 30 ms: two cores run everything.
const endpointLimit = 2 * time.Second

// endpointLatency measures how long after its EndpointSlice changes an Envoy uses an address.
func (w *world) endpointLatency() {
	var took []time.Duration
	for i := range 10 {
		changed := w.sliceChange()
		s, err := w.standIn(fmt.Sprintf("timed-%d", i))
		w.must(err)
		defer s.listener.Close()
		at := <-changed
		w.until(func(context.Context) error {
			got, err := w.customer.Upstreams("catalog")
			if err == nil && !slices.Contains(got, s.ip) {
				err = fmt.Errorf("the customer's Envoy knows %s, not %s", strings.Join(got, " "), s.ip)
			}
			return err
		})
		took = append(took, time.Since(at))
	}
	for i := range took {
		w.must(w.cluster.DeletePod(w.t.Context(), "shop", fmt.Sprintf("timed-%d", i)))
	}
	w.known(2)
	slices.Sort(took)
	median, most := took[len(took)/2], took[len(took)-1]
	w.t.Logf("from the change of an EndpointSlice to Envoy's use: median %s, at most %s", median.Round(time.Millisecond), most.Round(time.Millisecond))
	if most > endpointLimit {
		w.t.Errorf("it took up to %s", most)
	}
}

// sliceChange tells when a watch sees the next change of the catalog's EndpointSlices.
func (w *world) sliceChange() <-chan time.Time {
	w.t.Helper()
	var list discoveryv1.EndpointSliceList
	shop, catalog := client.InNamespace("shop"), client.MatchingLabels{discoveryv1.LabelServiceName: "catalog"}
	w.must(w.client.List(w.t.Context(), &list, shop, catalog))
	events, err := w.client.Watch(w.t.Context(), &list, shop, catalog)
	w.must(err)
	known := map[string]string{}
	for _, s := range list.Items {
		known[s.Name] = s.ResourceVersion
	}
	out := make(chan time.Time, 1)
	go func() {
		defer events.Stop()
		for e := range events.ResultChan() {
			s, ok := e.Object.(*discoveryv1.EndpointSlice)
			if ok && e.Type != watch.Deleted && known[s.Name] != s.ResourceVersion {
				out <- time.Now()
				return
			}
		}
	}()
	return out
}
