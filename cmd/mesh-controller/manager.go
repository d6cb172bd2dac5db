package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// common is the flags that every role has.
type common struct {
	kubeconfig    string
	namespace     string
	healthAddress string
	metrics       string
	logLevel      string
	logFormat     string
	leaderElect   bool // for roles that write
	qps           float32
}

// add adds the flags. elects is for the roles of which one replica at a time may
// write.
func (c *common) add(set *pflag.FlagSet, elects bool) {
	set.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig file (default: the pod's service account, else $KUBECONFIG)")
	set.StringVar(&c.namespace, "namespace", cmp.Or(os.Getenv("RUNTIME_NAMESPACE"), "mesh-system"), "namespace of the control plane ($RUNTIME_NAMESPACE)")
	set.StringVar(&c.healthAddress, "health-address", ":9440", "host:port of /healthz and /readyz")
	set.StringVar(&c.metrics, "metrics-address", ":8080", `host:port of /metrics ("0" is none)`)
	set.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	set.StringVar(&c.logFormat, "log-format", "json", "json or text")
	set.Float32Var(&c.qps, "kube-api-qps", 50, "requests a second to the API server, on average")
	if elects {
		set.BoolVar(&c.leaderElect, "leader-elect", true, "let one replica at a time write")
	}
}

// logger makes the log and gives it to the libraries that have one for all.
func (c *common) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", c.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch c.logFormat {
	case "json":
		handler = slog.NewJSONHandler(os.Stderr, options)
	case "text":
		handler = slog.NewTextHandler(os.Stderr, options)
	default:
		return nil, fmt.Errorf("--log-format %q: want json or text", c.logFormat)
	}
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	return slog.New(handler), nil
}

// config is how to reach the API server.
func (c *common) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the API server: %w", err)
	}
	config.QPS, config.Burst = c.qps, int(2*c.qps)
	config.UserAgent = "mesh-controller"
	return config, nil
}

// newScheme is the types that roles read and write.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensions.AddToScheme, sourcev1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// gracePeriod is how long a role may take to end what it does.
const gracePeriod = 15 * time.Second

// manager makes the controller-runtime manager of a role, with what every role has:
// a log, probes, metrics and leader election. tune changes the options before.
func (c *common) manager(role string, tune func(*ctrl.Options)) (ctrl.Manager, *slog.Logger, error) {
	log, err := c.logger()
	if err != nil {
		return nil, nil, err
	}
	config, err := c.config()
	if err != nil {
		return nil, nil, errFailed{err}
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, nil, errFailed{err}
	}
	grace := gracePeriod
	options := ctrl.Options{
		Scheme:                        scheme,
		HealthProbeBindAddress:        c.healthAddress,
		Metrics:                       metricsserver.Options{BindAddress: c.metrics},
		LeaderElection:                c.leaderElect,
		LeaderElectionID:              "mesh-" + role,
		LeaderElectionNamespace:       c.namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
	}
	if tune != nil {
		tune(&options)
	}
	manager, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, nil, errFailed{err}
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, nil, errFailed{err}
	}
	return manager, log, nil
}

// serve runs a manager until ctx ends. It is ready once it knows the objects that it
// watches.
func serve(ctx context.Context, m ctrl.Manager) error {
	known := func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !m.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the objects that are watched are not known yet")
		}
		return nil
	}
	if err := m.AddReadyzCheck("informers", known); err != nil {
		return errFailed{err}
	}
	if err := m.Start(ctx); err != nil {
		return errFailed{err}
	}
	return nil
}
