// Package kubetest runs a real Kubernetes for tests: etcd, kube-apiserver and
// kube-controller-manager of test/tools, in a network namespace of the test
// binary's own where pods and services have the addresses that they have in a
// cluster. In go manifests and tests; out come a cluster, credentials of service
// accounts and what kubectl says. It has no kubelet and no scheduler: a test makes
// pods run by starting a process on the pod's address.
//
// A test package says
//
//	func TestMain(m *testing.M) { kubetest.Main(m) }
//
// and each test that needs the cluster calls Start.
package kubetest

import (
	"context"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// T is the part of testing.TB that the helpers of this package use.
type T interface {
	envoytest.T
	Name() string
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	TempDir() string
}

// Patience is how long Until waits. Two cores run everything, so it is far above what anything
// takes.
const Patience = time.Minute

// Until repeats a check until it returns nil, and ends the test with its last error when that takes
// longer than Patience.
func Until(t T, check func(context.Context) error) {
	t.Helper()
	Within(t, Patience, check)
}

// Within is Until with another patience.
func Within(t T, patience time.Duration, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last error // but for that of a check that the end of ctx cut short
	err := envoytest.Until(ctx, func() error {
		err := check(ctx)
		if ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil {
		t.Fatalf("after %s: %v", patience, last)
	}
}
