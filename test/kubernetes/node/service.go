package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// Serve lets a Service's name and cluster address lead to its ready pods, as cluster DNS and
// kube-proxy do: each connection goes to one of those that the endpoint slices have then.
func (n *Node) Serve(t kubetest.T, namespace, name string) {
	t.Helper()
	var s corev1.Service
	if err := n.cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{name + "." + namespace, name + "." + namespace + ".svc", name + "." + namespace + ".svc.cluster.local"} {
		kubetest.Host(t, host, s.Spec.ClusterIP)
	}
	for _, port := range s.Spec.Ports {
		l, err := net.Listen("tcp", net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(port.Port))))
		if err != nil {
			t.Fatal(err)
		}
		f := &forwarder{node: n, namespace: namespace, service: name, port: port.Name}
		go f.serve(l)
		t.Cleanup(func() { l.Close() })
	}
}

// forwarder is one port of a Service.
type forwarder struct {
	node                     *Node
	namespace, service, port string

	mu    sync.Mutex
	known []string // what is used while the API server is down
}

func (f *forwarder) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // the test ends
		}
		go func() {
			defer conn.Close()
			_ = f.forward(conn.(*net.TCPConn)) // the client sees the end of its connection
		}()
	}
}

func (f *forwarder) forward(from *net.TCPConn) error {
	addresses := f.endpoints()
	if len(addresses) == 0 {
		_ = from.SetLinger(0) // kube-proxy rejects; this resets
		return errors.New("no pod is ready")
	}
	conn, err := net.Dial("tcp", addresses[rand.IntN(len(addresses))])
	if err != nil {
		_ = from.SetLinger(0)
		return err
	}
	to := conn.(*net.TCPConn)
	defer to.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(from, to)
		from.Close()
	}()
	_, _ = io.Copy(to, from)
	_ = to.CloseWrite()
	<-done
	return nil
}

func (f *forwarder) endpoints() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var slices discoveryv1.EndpointSliceList
	err := f.node.cluster.Client.List(ctx, &slices, client.InNamespace(f.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: f.service})
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.known = ready(slices.Items, f.port)
	}
	return f.known
}

// ready returns the host:port of the ready endpoints of a named port.
func ready(slices []discoveryv1.EndpointSlice, port string) (out []string) {
	for _, slice := range slices {
		for _, p := range slice.Ports {
			if p.Name == nil || *p.Name != port || p.Port == nil {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					out = append(out, fmt.Sprintf("%s:%d", e.Addresses[0], *p.Port))
				}
			}
		}
	}
	return out
}
