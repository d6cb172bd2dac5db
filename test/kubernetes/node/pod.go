package node

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// Pod is a pod of one container.
type Pod struct {
	Namespace, Name, IP string
	Process             *kubetest.Process

	node    *Node
	object  *corev1.Pod
	dir     string
	env     []string
	command []string
	probing context.CancelFunc
	probed  chan struct{} // closed when the last probing has ended
}

// prepare makes the pod's files, environment and command line.
func (p *Pod) prepare(t kubetest.T) error {
	container := p.object.Spec.Containers[0]
	program, err := p.node.program(container.Image)
	if err != nil {
		return err
	}
	paths, err := p.mount(t, container)
	if err != nil {
		return err
	}
	env, err := p.environment(t.Context(), container.Env)
	if err != nil {
		return err
	}
	p.command = []string{program}
	for _, arg := range container.Args {
		arg = reference.ReplaceAllStringFunc(arg, func(s string) string { return env[s[2:len(s)-1]] })
		p.command = append(p.command, p.address(paths.Replace(arg)))
	}
	p.command = append(p.command, "--health-address="+p.IP+":9440", "--metrics-address="+p.IP+":8080")
	for _, name := range slices.Sorted(maps.Keys(env)) {
		p.env = append(p.env, name+"="+paths.Replace(env[name]))
	}
	kubeconfig := p.node.cluster.PodKubeconfig(t, p.Namespace, p.object.Spec.ServiceAccountName, p.Name)
	p.env = append(p.env, kubeconfigVariable+kubeconfig, "HOME="+p.dir, "TMPDIR="+p.dir)
	return nil
}

// reference is a variable in an argument: "$(STORE)".
var reference = regexp.MustCompile(`\$\([A-Za-z_][A-Za-z0-9_]*\)`)

// address moves a flag's address without a host to the pod's: "--listen=:15010".
func (p *Pod) address(arg string) string {
	flag, value, ok := strings.Cut(arg, "=")
	if ok && strings.HasPrefix(value, ":") {
		return flag + "=" + p.IP + value
	}
	return arg
}

// Start starts the pod's process, again after it was killed, and probes it.
func (p *Pod) Start() (err error) {
	if p.Process == nil {
		p.Process, err = kubetest.StartProcess(filepath.Join(p.node.dir, p.Name+".log"), p.env, p.command[0], p.command[1:]...)
	} else {
		err = p.Process.Start()
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.probing, p.probed = cancel, make(chan struct{})
	go func() {
		defer close(p.probed)
		keepReady(ctx, p.ready, func(ready bool) error { return p.node.setReady(p.Namespace, p.Name, ready) })
	}()
	return nil
}

// Reach stops the pod, and starts it anew with another way to the API server.
func (p *Pod) Reach(t kubetest.T, gate *kubetest.Gate) {
	t.Helper()
	p.Stop()
	i := slices.IndexFunc(p.env, func(v string) bool { return strings.HasPrefix(v, kubeconfigVariable) })
	file := strings.TrimPrefix(p.env[i], kubeconfigVariable)
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server, c.CertificateAuthorityData = gate.URL, gate.CA
	}
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
}

const kubeconfigVariable = "KUBECONFIG="

// Kill ends the process as kill -9 does; the pod is not ready from then on.
func (p *Pod) Kill() {
	p.Process.Kill()
	p.stopProbing()
}

// Stop ends the process as a kubelet does.
func (p *Pod) Stop() {
	p.Process.Stop(terminationGrace)
	p.stopProbing()
}

const terminationGrace = 15 * time.Second

func (p *Pod) stopProbing() {
	p.probing()
	<-p.probed
	_ = p.node.setReady(p.Namespace, p.Name, false) // nobody can be told where the API server is down
}

// end ends the process and removes the pod.
func (p *Pod) end() {
	p.probing()
	p.Process.Kill()
	<-p.probed
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = p.node.cluster.DeletePod(ctx, p.Namespace, p.Name) // its namespace may be gone
}

// Ready waits until the pod is ready.
func (p *Pod) Ready(t kubetest.T) {
	t.Helper()
	kubetest.Until(t, func(ctx context.Context) error {
		if !p.Process.Running() {
			t.Fatalf("%s ended:\n%s", p.Name, p.Process.Tail())
		}
		return p.ready(ctx)
	})
}

// ready asks the readiness probe.
func (p *Pod) ready(ctx context.Context) error {
	path := "/readyz"
	if probe := p.object.Spec.Containers[0].ReadinessProbe; probe != nil && probe.HTTPGet != nil {
		path = cmp.Or(probe.HTTPGet.Path, path)
	}
	return probe(ctx, "http://"+p.IP+":9440"+path)
}
