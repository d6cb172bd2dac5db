package cluster

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/fleet"
)

// callTimeout bounds one request.
const callTimeout = 15 * time.Second

// client speaks to the API server about our group alone.
func client(config *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion = "/apis", &v1alpha1.SchemeGroupVersion
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c.Timeout = callTimeout
	if c.UserAgent == "" {
		c.UserAgent = "mesh-compile"
	}
	return rest.RESTClientFor(c)
}

// A Reader reads the fleet of a control plane.
type Reader struct {
	rest      *rest.RESTClient
	namespace string
}

// NewReader reads from the control plane in a namespace.
func NewReader(config *rest.Config, namespace string) (*Reader, error) {
	c, err := client(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &Reader{rest: c, namespace: namespace}, nil
}

// Fleet reads Releases, FleetReports and, where it may, PolicySyncs: without them
// it is not known which revisions were refused.
func (r *Reader) Fleet(ctx context.Context) (fleet.Fleet, error) {
	var releases v1alpha1.ReleaseList
	var reports v1alpha1.FleetReportList
	var syncs v1alpha1.PolicySyncList
	group, all := errgroup.WithContext(ctx)
	group.Go(func() error { return r.list(all, "releases", &releases) })
	group.Go(func() error { return r.list(all, "fleetreports", &reports) })
	group.Go(func() error {
		if err := r.list(all, "policysyncs", &syncs); !apierrors.IsForbidden(err) {
			return err
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return fleet.Fleet{}, err
	}
	return fleet.Of(releases.Items, reports.Items, syncs.Items, time.Now()), nil
}

func (r *Reader) list(ctx context.Context, resource string, into runtime.Object) error {
	err := r.rest.Get().Namespace(r.namespace).Resource(resource).
		VersionedParams(&metav1.ListOptions{}, metav1.ParameterCodec).Do(ctx).Into(into)
	if err != nil {
		return fmt.Errorf("listing %s in namespace %s: %w", resource, r.namespace, err)
	}
	return nil
}
