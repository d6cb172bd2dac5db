package flux

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

const interval = 10 * time.Minute // everything here is told of changes

// Controller is the real kustomize-controller and the receiver of its events.
type Controller struct {
	Process *kubetest.Process
	client  client.Client

	mu     sync.Mutex
	events []Event
}

// Event is what is read of a notification.
type Event struct {
	InvolvedObject struct{ Kind, Namespace, Name string }
	Severity       string
	Reason         string
	Message        string
	Metadata       map[string]string
}

// InstallCRDs applies the CRDs of Flux's sources and of Kustomization, and makes Flux's namespace.
func InstallCRDs(t kubetest.T, c *kubetest.Cluster) {
	t.Helper()
	c.InstallCRDs(t, "*.toolkit.fluxcd.io_*.yaml")
	c.Apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+Namespace+"}\n") // stays, as the CRDs do
}

// StartKustomize runs kustomize-controller until the test ends.
func StartKustomize(t kubetest.T, c *kubetest.Cluster) *Controller {
	t.Helper()
	program := tools.Require(t, "kustomize-controller")
	k := &Controller{client: c.Client}
	receiver := httptest.NewServer(http.HandlerFunc(k.receive))
	dir := t.TempDir()
	var err error
	k.Process, err = kubetest.StartProcess(filepath.Join(dir, "log"),
		[]string{"KUBECONFIG=" + c.Kubeconfig(), "RUNTIME_NAMESPACE=" + Namespace, "HOME=" + dir, "TMPDIR=" + dir}, program,
		"--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--events-addr="+receiver.URL, "--enable-leader-election=false",
		"--watch-all-namespaces", "--no-remote-bases", "--http-retry=2", "--requeue-dependency=1s", "--feature-gates=ExternalArtifact=true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Process.Kill()
		receiver.Close()
		if t.Failed() {
			t.Logf("log of kustomize-controller:\n%s", k.Process.Tail())
		}
	})
	return k
}

func (k *Controller) receive(_ http.ResponseWriter, r *http.Request) {
	var e Event
	if json.NewDecoder(r.Body).Decode(&e) == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.events = append(k.events, e)
	}
}

// Events returns the notifications so far.
func (k *Controller) Events() []Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.events)
}

// Kustomization makes a Kustomization of a source in Flux's namespace, which prunes.
func (k *Controller) Kustomization(t kubetest.T, name, sourceKind, sourceName, path string) {
	t.Helper()
	k.KustomizationIn(t, name, sourceKind, Namespace, sourceName, path)
}

// KustomizationIn is Kustomization of a source in another namespace.
func (k *Controller) KustomizationIn(t kubetest.T, name, sourceKind, sourceNamespace, sourceName, path string) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"name": name, "namespace": Namespace},
		"spec": map[string]any{
			"interval": "10m", "retryInterval": "2s", "timeout": "30s", "prune": true, "path": path,
			"sourceRef": map[string]any{"kind": sourceKind, "namespace": sourceNamespace, "name": sourceName},
		},
	}}
	if err := k.client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // without its finalizer, which nobody handles any more
		key := client.ObjectKeyFromObject(object)
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
		if err := k.client.Patch(context.Background(), object, patch); client.IgnoreNotFound(err) != nil {
			t.Errorf("%s: %v", key, err)
		}
		if err := k.client.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
			t.Errorf("%s: %v", key, err)
		}
	})
}

// State is where a Kustomization stands.
type State struct {
	Ready          metav1.Condition
	Applied, Tried string // revisions
}

// State reads a Kustomization's status.
func (k *Controller) State(ctx context.Context, name string) (State, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"})
	if err := k.client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, object); err != nil {
		return State{}, err
	}
	var status struct {
		Conditions                                 []metav1.Condition
		LastAppliedRevision, LastAttemptedRevision string
	}
	text, err := json.Marshal(object.Object["status"])
	if err != nil {
		return State{}, err
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return State{}, err
	}
	out := State{Applied: status.LastAppliedRevision, Tried: status.LastAttemptedRevision}
	if i := slices.IndexFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type == "Ready" }); i >= 0 {
		out.Ready = status.Conditions[i]
	}
	return out, nil
}

// Applied waits until a revision is applied.
func (k *Controller) Applied(t kubetest.T, name, revision string) {
	t.Helper()
	kubetest.Until(t, func(ctx context.Context) error {
		s, err := k.State(ctx, name)
		if err == nil && (s.Applied != revision || s.Ready.Status != metav1.ConditionTrue) {
			err = fmt.Errorf("Kustomization %s has not applied %s: %+v", name, revision, s)
		}
		return err
	})
}

// Refused waits until a revision was tried and not applied, and returns the message.
func (k *Controller) Refused(t kubetest.T, name, revision string) (message string) {
	t.Helper()
	kubetest.Until(t, func(ctx context.Context) error {
		s, err := k.State(ctx, name)
		if err == nil && (s.Tried != revision || s.Ready.Status != metav1.ConditionFalse) {
			err = fmt.Errorf("Kustomization %s has not refused %s: %+v", name, revision, s)
		}
		message = s.Ready.Message
		return err
	})
	return message
}
