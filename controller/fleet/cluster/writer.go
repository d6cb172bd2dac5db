package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

const (
	// writeEvery is how often a report is written, at most.
	writeEvery = 2 * time.Second
	// renewEvery is how often it is written without news: readers take one of two
	// minutes for nobody's.
	renewEvery = 40 * time.Second
	// shardProxies and shardBytes are how much one object holds: etcd takes 1.5 MiB,
	// and an agent chooses its words so that they are long in JSON.
	shardProxies = 500
	shardBytes   = 1 << 20
	// maxShards bounds what one replica writes.
	maxShards = 64
	// owner is the field manager.
	owner = "mesh-deliver"
)

// ReplicaLabel is on each FleetReport and names who writes it.
const ReplicaLabel = v1alpha1.Group + "/replica"

// A Writer keeps the FleetReports of one replica.
type Writer struct {
	Config    *rest.Config
	Namespace string
	// Replica is the name of the pod.
	Replica string
	// PodUID, where known, makes the pod the owner: its reports go with it.
	PodUID types.UID
	// Proxies returns what is to be written, by name.
	Proxies func() []v1alpha1.ProxyReport
	// Version changes whenever Proxies or Highest may.
	Version func() uint64
	// Highest is the highest sequence of a verified release that an agent showed.
	Highest func() int64
	Log     *slog.Logger

	rest    *rest.RESTClient
	written map[string]state // by name of the object
}

// state is what was written last.
type state struct {
	digest [sha256.Size]byte
	at     time.Time
}

// Run writes until ctx ends, and then removes what it wrote: another replica has
// the proxies by then.
func (w *Writer) Run(ctx context.Context) error {
	var err error
	if w.rest, err = client(w.Config); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	w.written = map[string]state{}
	defer w.remove()
	w.adopt(ctx)
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	var seen uint64
	var failed bool
	var renewed time.Time
	for {
		if now, version := time.Now(), w.Version(); failed || version != seen || now.Sub(renewed) > renewEvery {
			err := w.write(ctx, now)
			if failed = err != nil; failed && ctx.Err() == nil {
				w.Log.Warn("the fleet is not reported", "error", err)
			}
			seen, renewed = version, now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// adopt finds the reports that a process of the same name left, so that those that
// are not needed go.
func (w *Writer) adopt(ctx context.Context) {
	var list v1alpha1.FleetReportList
	err := w.rest.Get().Namespace(w.Namespace).Resource("fleetreports").
		Param("labelSelector", ReplicaLabel+"="+label(w.Replica)).Do(ctx).Into(&list)
	if err != nil {
		w.Log.Warn("reports of an earlier process stay until they are old", "error", err)
	}
	for _, r := range list.Items {
		if r.Replica == w.Replica {
			w.written[r.Name] = state{}
		}
	}
}

// write brings every shard up to date.
func (w *Writer) write(ctx context.Context, now time.Time) error {
	proxies, highest := w.Proxies(), int64(0)
	if w.Highest != nil {
		highest = w.Highest()
	}
	shards, err := split(proxies)
	if err != nil {
		return err
	}
	if len(shards) > maxShards {
		w.Log.Warn("some proxies are not reported", "shards", len(shards), "limit", maxShards)
		shards = shards[:maxShards]
	}
	var failed error
	current := map[string]bool{}
	for i, shard := range shards {
		report := w.report(i, shard, highest)
		current[report.Name] = true
		failed = errors.Join(failed, w.put(ctx, report, now))
	}
	for name := range w.written {
		if !current[name] {
			failed = errors.Join(failed, w.delete(ctx, name))
		}
	}
	return failed
}

// split returns the shards in order, at least one.
func split(proxies []v1alpha1.ProxyReport) ([][]v1alpha1.ProxyReport, error) {
	var shards [][]v1alpha1.ProxyReport
	begin, size := 0, 0
	for i, p := range proxies {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("writing the report of %s: %w", p.Workload, err)
		}
		if i-begin == shardProxies || size+len(text) > shardBytes {
			shards = append(shards, proxies[begin:i])
			begin, size = i, 0
		}
		size += len(text) + 1
	}
	return append(shards, proxies[begin:]), nil
}

func (w *Writer) report(shard int, proxies []v1alpha1.ProxyReport, highest int64) *v1alpha1.FleetReport {
	r := &v1alpha1.FleetReport{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: "FleetReport"},
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", w.Replica, shard), Namespace: w.Namespace,
			Labels: map[string]string{ReplicaLabel: label(w.Replica)},
		},
		Replica: w.Replica, HighestSequence: highest, Proxies: slices.Clone(proxies),
	}
	if w.PodUID != "" {
		r.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: w.Replica, UID: w.PodUID, Controller: ptr.To(false)}}
	}
	return r
}

// label is a name as a label's value, which has at most 63 characters.
func label(replica string) string {
	if len(replica) <= 63 {
		return replica
	}
	sum := sha256.Sum256([]byte(replica))
	return hex.EncodeToString(sum[:16])
}

// put writes a report that has changed, or that would soon be old.
func (w *Writer) put(ctx context.Context, r *v1alpha1.FleetReport, now time.Time) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	last, digest := w.written[r.Name], sha256.Sum256(content)
	if last.digest == digest && now.Sub(last.at) < renewEvery {
		return nil
	}
	r.RenewTime = metav1.NewMicroTime(now)
	if content, err = json.Marshal(r); err != nil {
		return err
	}
	err = w.rest.Patch(types.ApplyPatchType).Namespace(w.Namespace).Resource("fleetreports").Name(r.Name).
		Param("fieldManager", owner).Param("force", "true").Body(content).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("writing FleetReport %s: %w", r.Name, err)
	}
	w.written[r.Name] = state{digest, now}
	return nil
}

func (w *Writer) delete(ctx context.Context, name string) error {
	err := w.rest.Delete().Namespace(w.Namespace).Resource("fleetreports").Name(name).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting FleetReport %s: %w", name, err)
	}
	delete(w.written, name)
	return nil
}

// removeTimeout is how long the end may take: a report that stays is old soon.
const removeTimeout = 3 * time.Second

func (w *Writer) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	for name := range w.written {
		if err := w.delete(ctx, name); err != nil {
			w.Log.Warn("a report stays until it is old", "error", err)
		}
	}
}
