package flux

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// Publisher stands in for source-controller: it clones, tars, serves the archive, and writes where
// it is into the status of a source object.
type Publisher struct {
	client client.Client
	server *httptest.Server

	mu       sync.Mutex
	archives map[string][]byte // by path
}

// NewPublisher serves archives until the test ends.
func NewPublisher(t kubetest.T, c *kubetest.Cluster) *Publisher {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := sourcev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	p := &Publisher{archives: map[string][]byte{}}
	var err error
	if p.client, err = client.New(c.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

// ServeHTTP serves an archive.
func (p *Publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	archive, ok := p.archives[r.URL.Path]
	p.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(archive)
}

// Spoil makes the archives that are served differ from their digests.
func (p *Publisher) Spoil() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, archive := range p.archives {
		spoiled := bytes.Clone(archive)
		spoiled[len(spoiled)/2] ^= 1
		p.archives[path] = spoiled
	}
}

// Git publishes the head of a repository as GitRepository flux-system/name, which it makes where it
// is missing, and returns the revision.
func (p *Publisher) Git(t kubetest.T, name string, r *Repository) (revision string) {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "clone")
	revision = p.Checkout(t, r, clone)
	p.PublishGit(t, name, r, clone, revision)
	return revision
}

// Checkout clones the head of a repository into a directory, and returns its revision.
func (p *Publisher) Checkout(t kubetest.T, r *Repository, dir string) (revision string) {
	t.Helper()
	if out, err := git(t.Context(), "", "clone", "-q", "--depth=1", r.URL, dir); err != nil {
		t.Fatalf("cloning: %v\n%s", err, out)
	}
	commit, err := git(t.Context(), dir, "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	return "main@sha1:" + commit
}

// PublishGit publishes what Checkout made.
func (p *Publisher) PublishGit(t kubetest.T, name string, r *Repository, dir, revision string) {
	t.Helper()
	object := &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{URL: r.URL, Interval: metav1.Duration{Duration: interval}}}
	p.publish(t, object, name, dir, revision)
}

// External publishes a directory as ExternalArtifact flux-system/name.
func (p *Publisher) External(t kubetest.T, name, dir, revision string) {
	t.Helper()
	p.publish(t, &sourcev1.ExternalArtifact{}, name, dir, revision)
}

// OCI publishes a directory as OCIRepository flux-system/name, as source-controller does with the one
// layer that it extracts.
func (p *Publisher) OCI(t kubetest.T, name, url, dir, revision string) {
	t.Helper()
	object := &sourcev1.OCIRepository{Spec: sourcev1.OCIRepositorySpec{URL: url, Interval: metav1.Duration{Duration: interval}}}
	p.publish(t, object, name, dir, revision)
}

// Bucket publishes a directory as Bucket flux-system/name.
func (p *Publisher) Bucket(t kubetest.T, name, dir, revision string) {
	t.Helper()
	object := &sourcev1.Bucket{Spec: sourcev1.BucketSpec{
		BucketName: name, Endpoint: "bucket.example", Interval: metav1.Duration{Duration: interval},
	}}
	p.publish(t, object, name, dir, revision)
}

// Namespace is Flux's own.
const Namespace = "flux-system"

func (p *Publisher) publish(t kubetest.T, object client.Object, name, dir, revision string) {
	t.Helper()
	object.SetNamespace(Namespace)
	object.SetName(name)
	if err := p.client.Create(t.Context(), object); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	archive, err := pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(archive))
	path := fmt.Sprintf("/%T/%s/%s/%s.tar.gz", object, Namespace, name, digest)
	p.mu.Lock()
	p.archives[path] = archive
	p.mu.Unlock()
	size := int64(len(archive))
	artifact := &meta.Artifact{
		Path: strings.TrimPrefix(path, "/"), URL: p.server.URL + path, Revision: revision,
		Digest: "sha256:" + digest, LastUpdateTime: metav1.Now(), Size: &size,
	}
	if err := p.report(t.Context(), object, artifact); err != nil {
		t.Fatal(err)
	}
}

// report writes the status of a source as source-controller does.
func (p *Publisher) report(ctx context.Context, object client.Object, artifact *meta.Artifact) error {
	if err := p.client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return err
	}
	ready := metav1.Condition{
		Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason,
		Message: "stored artifact for revision " + artifact.Revision, ObservedGeneration: object.GetGeneration(),
	}
	switch o := object.(type) {
	case *sourcev1.GitRepository:
		o.Status.Artifact, o.Status.ObservedGeneration = artifact, o.Generation
		apimeta.SetStatusCondition(&o.Status.Conditions, ready)
	case *sourcev1.OCIRepository:
		o.Status.Artifact, o.Status.ObservedGeneration = artifact, o.Generation
		apimeta.SetStatusCondition(&o.Status.Conditions, ready)
	case *sourcev1.Bucket:
		o.Status.Artifact, o.Status.ObservedGeneration = artifact, o.Generation
		apimeta.SetStatusCondition(&o.Status.Conditions, ready)
	case *sourcev1.ExternalArtifact:
		o.Status.Artifact = artifact
		apimeta.SetStatusCondition(&o.Status.Conditions, ready)
	default:
		return errors.New("no such source is known here")
	}
	return p.client.Status().Update(ctx, object)
}

// pack makes the archive that source-controller makes: no .git, no times, no owners.
func pack(dir string) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	err = errors.Join(err, w.Close(), zip.Close()) // before the bytes are taken
	return out.Bytes(), err
}
