// Package node stands in for a node of a cluster: it runs the pods of Deployments as
// processes of this machine. In go the manifests that are in the API server; out come
// processes with the arguments, environment, files and service-account tokens that
// the manifests give them, pods whose readiness follows their probes, and service
// addresses that lead to ready pods. It isolates nothing: files and ports are the
// machine's, so paths in arguments are rewritten to the pod's directories, and
// addresses to the pod's.
package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// Node runs pods.
type Node struct {
	cluster *kubetest.Cluster
	dir     string
	images  map[string]string

	mu      sync.Mutex
	pods    []*Pod
	started int
}

// New makes a node that runs programs in the place of images, named without tags. It ends its pods
// when the test ends, and shows the logs of a test that failed.
func New(t kubetest.T, c *kubetest.Cluster, images map[string]string) *Node {
	t.Helper()
	dir, err := os.MkdirTemp(c.Dir, "n") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{cluster: c, dir: dir, images: images}
	t.Cleanup(func() { n.End(t) })
	return n
}

// End ends all pods of Deployments, as they do who run on a node that goes away.
func (n *Node) End(t kubetest.T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		p.end()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.Name, p.Process.Tail())
		}
	}
	n.pods = nil
}

// Claim is the directory of a PersistentVolumeClaim.
func (n *Node) Claim(namespace, name string) string {
	return filepath.Join(n.dir, "claims", namespace, name)
}

// Run runs one more pod of a Deployment and waits for nothing. Replicas are the caller's to choose:
// memory is small.
func (n *Node) Run(t kubetest.T, namespace, deployment string) *Pod {
	t.Helper()
	var d appsv1.Deployment
	if err := n.cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: deployment}, &d); err != nil {
		t.Fatal(err)
	}
	p, err := n.run(t, &d)
	if err != nil {
		t.Fatalf("running a pod of %s: %v", deployment, err)
	}
	return p
}

func (n *Node) run(t kubetest.T, d *appsv1.Deployment) (*Pod, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := &Pod{Namespace: d.Namespace, Name: fmt.Sprintf("%s-%d", d.Name, n.started), IP: kubetest.PodIP(), node: n}
	p.dir = filepath.Join(n.dir, p.Name)
	if err := p.create(t.Context(), d.Spec.Template); err != nil {
		return nil, err
	}
	if err := p.prepare(t); err != nil {
		return nil, err
	}
	n.pods, n.started = append(n.pods, p), n.started+1
	return p, p.Start()
}

// program is what runs in the place of an image.
func (n *Node) program(image string) (string, error) {
	name, _, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	program, ok := n.images[name]
	if !ok {
		return "", fmt.Errorf("no program stands for image %q", image)
	}
	return program, nil
}

// create makes the pod as the ReplicaSet controller and the scheduler do.
func (p *Pod) create(ctx context.Context, template corev1.PodTemplateSpec) error {
	p.object = &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	p.object.Namespace, p.object.Name = p.Namespace, p.Name
	p.object.Spec.NodeName = kubetest.DefaultNode
	if err := p.node.cluster.Client.Create(ctx, p.object); err != nil {
		return err
	}
	p.object.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: p.IP, PodIPs: []corev1.PodIP{{IP: p.IP}}}
	if err := p.node.cluster.Client.Status().Update(ctx, p.object); err != nil {
		return err
	}
	return p.node.cluster.SetReady(ctx, p.Namespace, p.Name, false)
}
