package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/mesh-compile/mesh-compile/schemas"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// Cluster is a running Kubernetes with the CRDs of this project.
type Cluster struct {
	Config *rest.Config  // of an administrator
	Client client.Client // of an administrator; reads are not cached
	Dir    string        // removed when the cluster stops

	kubeconfig  string
	kubectl     string
	environment *envtest.Environment
	apiserver   *apiserver
	manager     *Process
}

var shared struct {
	sync.Mutex
	cluster *Cluster
	err     error
}

// Start returns the cluster that the tests of this binary share, and starts it for the first of
// them. A test that needs the cluster for itself does not run in parallel with others; each works in
// namespaces of its own.
func Start(t T) *Cluster {
	t.Helper()
	RequireNamespace(t)
	programs := map[string]string{}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		programs[name] = tools.Require(t, name)
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = start(programs)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

func stopShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		return nil
	}
	return shared.cluster.stop()
}

// startLimit is how long etcd and the API server may take each; alone they take three seconds.
const startLimit = time.Minute

func start(programs map[string]string) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, kubectl: programs["kubectl"], environment: &envtest.Environment{
		ControlPlaneStartTimeout: startLimit, ErrorIfCRDPathMissing: true,
	}}
	if err := c.start(programs); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *Cluster) start(programs map[string]string) error {
	crds := filepath.Join(c.Dir, "crds")
	if err := os.CopyFS(crds, schemas.CRDs()); err != nil {
		return err
	}
	c.environment.CRDDirectoryPaths = []string{crds}
	log := new(bytes.Buffer)
	if err := c.configure(programs, log); err != nil {
		return err
	}
	var err error
	if c.Config, err = c.environment.Start(); err != nil {
		return fmt.Errorf("starting etcd and the API server: %w\n%s", err, end(log.Bytes()))
	}
	c.kubeconfig = filepath.Join(c.Dir, "admin.kubeconfig")
	if err := os.WriteFile(c.kubeconfig, c.environment.KubeConfig, 0o600); err != nil {
		return err
	}
	if c.Client, err = client.New(c.Config, client.Options{}); err != nil {
		return err
	}
	if c.apiserver, err = findAPIServer(c.certs()); err != nil {
		return err
	}
	if err := c.addNode(context.Background(), DefaultNode, nil); err != nil {
		return err
	}
	return c.startManager(programs["kube-controller-manager"])
}

func (c *Cluster) certs() string { return filepath.Join(c.Dir, "apiserver") }

// configure sets what differs from envtest's defaults.
func (c *Cluster) configure(programs map[string]string, log *bytes.Buffer) error {
	if err := os.Mkdir(c.certs(), 0o700); err != nil {
		return err
	}
	plane := &c.environment.ControlPlane
	server := plane.GetAPIServer()
	server.Path, server.CertDir, server.Err = programs["kube-apiserver"], c.certs(), log
	server.Configure().
		Set("service-cluster-ip-range", ServiceNetwork.String()).
		// It looks for an address of its own in vain where the only device is lo.
		Set("advertise-address", PodNetwork.Addr().Next().String())
	plane.Etcd = &envtest.Etcd{Path: programs["etcd"]}
	plane.KubectlPath = programs["kubectl"]
	return nil
}

// startManager runs the controllers that a test can see the work of.
func (c *Cluster) startManager(program string) (err error) {
	c.manager, err = StartProcess(filepath.Join(c.Dir, "kube-controller-manager.log"), nil, program,
		"--kubeconfig", c.kubeconfig, "--leader-elect=false", "--secure-port=0", "--bind-address=127.0.0.1",
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--root-ca-file", filepath.Join(c.certs(), "apiserver.crt"),
		"--controllers=namespace-controller,garbage-collector-controller,endpointslice-controller,"+
			"serviceaccount-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,"+
			"persistentvolumeclaim-protection-controller,validatingadmissionpolicy-status-controller")
	return err
}

func (c *Cluster) stop() error {
	if c.manager != nil {
		c.manager.Kill()
	}
	if c.apiserver != nil {
		c.apiserver.kill()
	}
	err := c.environment.Stop()
	return errors.Join(err, os.RemoveAll(c.Dir))
}

// Namespace makes a namespace for a test and deletes it when the test ends, without waiting; one
// that an earlier test left is waited for.
func (c *Cluster) Namespace(t T, name string, labels map[string]string) {
	t.Helper()
	ns := &corev1.Namespace{}
	ns.Name, ns.Labels = name, labels
	Until(t, func(ctx context.Context) error {
		err := c.Client.Create(ctx, ns)
		var old corev1.Namespace
		if apierrors.IsAlreadyExists(err) && c.Client.Get(ctx, client.ObjectKeyFromObject(ns), &old) == nil && old.DeletionTimestamp == nil {
			t.Fatal(err)
		}
		return err
	})
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), ns); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}
