package kubetest

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Pod describes a pod that runs: what a scheduler and a kubelet would make of it.
type Pod struct {
	Namespace, Name string
	ServiceAccount  string // "default" by default
	Labels          map[string]string
	IP              string // PodIP() by default
	Node            string // DefaultNode by default; another is made with Node
	NotReady        bool
	Image           string
}

// DefaultNode is where pods run. Endpoint slices take in no pod whose node does not exist.
const DefaultNode = "node"

// Node makes a node with labels, such as topology.kubernetes.io/zone.
func (c *Cluster) Node(t T, name string, labels map[string]string) {
	t.Helper()
	if err := c.addNode(t.Context(), name, labels); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := c.Client.Delete(context.Background(), node); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

func (c *Cluster) addNode(ctx context.Context, name string, labels map[string]string) error {
	return c.Client.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
}

// RunPod makes a pod with its status, and returns it with its address.
func (c *Cluster) RunPod(t T, p Pod) Pod {
	t.Helper()
	p, err := c.TryRunPod(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TryRunPod is RunPod for goroutines.
func (c *Cluster) TryRunPod(ctx context.Context, p Pod) (Pod, error) {
	if p.IP == "" {
		p.IP = PodIP()
	}
	object := p.object()
	if err := c.Client.Create(ctx, object); err != nil {
		return p, fmt.Errorf("creating pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	object.Status = p.status()
	if err := c.Client.Status().Update(ctx, object); err != nil {
		return p, fmt.Errorf("writing the status of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return p, nil
}

func (p Pod) object() *corev1.Pod {
	grace := int64(0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels},
		Spec: corev1.PodSpec{
			ServiceAccountName: or(p.ServiceAccount, "default"), NodeName: or(p.Node, DefaultNode),
			Containers:                    []corev1.Container{{Name: "app", Image: or(p.Image, "app")}},
			TerminationGracePeriodSeconds: &grace, // without a kubelet nobody ends a graceful deletion
		},
	}
	// What the restricted pod security standard demands.
	yes, no := true, false
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: &no,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	return pod
}

func (p Pod) status() corev1.PodStatus {
	ready := corev1.ConditionTrue
	if p.NotReady {
		ready = corev1.ConditionFalse
	}
	return corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: p.IP, PodIPs: []corev1.PodIP{{IP: p.IP}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}, {Type: corev1.ContainersReady, Status: ready}},
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// SetReady changes a pod's readiness, as a kubelet does after a probe.
func (c *Cluster) SetReady(ctx context.Context, namespace, name string, ready bool) error {
	status := Pod{NotReady: !ready}.status()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": status.Conditions}})
	if err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return c.Client.Status().Patch(ctx, pod, client.RawPatch("application/strategic-merge-patch+json", patch))
}

// DeletePod removes a pod at once.
func (c *Cluster) DeletePod(ctx context.Context, namespace, name string) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return client.IgnoreNotFound(c.Client.Delete(ctx, pod, client.GracePeriodSeconds(0)))
}

// Endpoints returns the ready addresses that the endpoint slice controller has found for a service.
func (c *Cluster) Endpoints(ctx context.Context, namespace, service string) ([]string, error) {
	var list discoveryv1.EndpointSliceList
	err := c.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				out = append(out, e.Addresses...)
			}
		}
	}
	return out, nil
}
