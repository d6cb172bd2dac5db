package endpoints

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
)

// An Endpoint is one address of a cluster.
type Endpoint struct {
	Address  netip.Addr
	Port     uint32
	Locality string // region/zone/subzone
	Weight   uint32 // 0: 1
	Draining bool
	// Near are the zones whose clients are to use the endpoint, sorted, by ",":
	// Kubernetes' hints (trafficDistribution). Empty: everybody.
	Near string
}

func compareEndpoints(a, b Endpoint) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.Locality, b.Locality), cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Near, b.Near))
}

// Table holds the endpoints of clusters. It is safe for concurrent use.
type Table struct {
	mu       sync.Mutex
	clusters map[string][]Endpoint
	watches  map[string]map[*Watch]struct{} // by cluster
}

// NewTable returns a table that knows no cluster.
func NewTable() *Table {
	return &Table{clusters: map[string][]Endpoint{}, watches: map[string]map[*Watch]struct{}{}}
}

// Set replaces the endpoints of one cluster and tells its watches if they are
// not the same. No endpoints is a fact that is told; a cluster that was never
// set is not.
func (t *Table) Set(cluster string, endpoints []Endpoint) {
	sorted := slices.Clone(endpoints)
	slices.SortFunc(sorted, compareEndpoints)
	sorted = slices.Compact(sorted)
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, ok := t.clusters[cluster]; ok && slices.Equal(have, sorted) {
		return
	}
	t.clusters[cluster] = sorted
	for w := range t.watches[cluster] {
		w.note(cluster)
	}
}

// Keep forgets every cluster but these. Nobody is told: proxies whose release
// still has the cluster go on with what they got.
func (t *Table) Keep(clusters func(string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.clusters {
		if !clusters(name) {
			delete(t.clusters, name)
		}
	}
}

// Get returns the endpoints of a cluster and whether they are known. The caller
// must not change them.
func (t *Table) Get(cluster string) ([]Endpoint, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	endpoints, ok := t.clusters[cluster]
	return endpoints, ok
}

// Len returns how many clusters are known.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.clusters)
}

// A Watch is told of changes to the clusters that it names. What it holds is
// bounded by these: a slow reader finds the newest endpoints once, however often
// they changed.
type Watch struct {
	table   *Table
	names   map[string]bool // under the table's lock, as is pending
	pending map[string]bool
	changed chan struct{}
}

// Watch returns a watch of no cluster.
func (t *Table) Watch() *Watch {
	return &Watch{table: t, names: map[string]bool{}, pending: map[string]bool{}, changed: make(chan struct{}, 1)}
}

// Follow replaces the names of the watch. Those that are new are pending if they
// are known.
func (w *Watch) Follow(names []string) {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	want := make(map[string]bool, len(names))
	for _, n := range names {
		want[n] = true
		if !w.names[n] {
			w.add(n)
		}
	}
	for n := range w.names {
		if !want[n] {
			w.remove(n)
		}
	}
	w.names = want
}

// Close ends the watch.
func (w *Watch) Close() { w.Follow(nil) }

// Changed receives a value when clusters are pending.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// A Change is what one cluster's endpoints are now.
type Change struct {
	Cluster   string
	Endpoints []Endpoint
}

// Take returns the pending changes by cluster name, and empties them.
func (w *Watch) Take() []Change {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	out := make([]Change, 0, len(w.pending))
	for name := range w.pending {
		if endpoints, ok := w.table.clusters[name]; ok {
			out = append(out, Change{name, endpoints})
		}
	}
	clear(w.pending)
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return out
}

func (w *Watch) add(cluster string) {
	set := w.table.watches[cluster]
	if set == nil {
		set = map[*Watch]struct{}{}
		w.table.watches[cluster] = set
	}
	set[w] = struct{}{}
	if _, known := w.table.clusters[cluster]; known {
		w.note(cluster)
	}
}

func (w *Watch) remove(cluster string) {
	delete(w.pending, cluster)
	delete(w.table.watches[cluster], w)
	if len(w.table.watches[cluster]) == 0 {
		delete(w.table.watches, cluster)
	}
}

func (w *Watch) note(cluster string) {
	w.pending[cluster] = true
	select {
	case w.changed <- struct{}{}:
	default: // one is waiting already
	}
}
