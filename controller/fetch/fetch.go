// Package fetch brings what a Flux source holds to the reconcile role.
//
// In goes the artifact that a source's status names; out comes a directory with
// its files, after the digest was compared. Sizes are bounded, links are not
// followed out of the directory. The package believes nothing that the digest does
// not cover, and holds no credentials: artifacts are served inside the cluster.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/apis/meta"
	httpfetch "github.com/fluxcd/pkg/http/fetch"
	"github.com/fluxcd/pkg/tar"
)

// Limits of one artifact, bytes.
const (
	maxDownload = 64 << 20
	maxUnpacked = 512 << 20
)

const retries = 2

// Artifact unpacks an artifact below a new directory, which the caller removes.
func Artifact(ctx context.Context, a *meta.Artifact) (dir string, err error) {
	if a.Digest == "" {
		return "", errors.New("fetching the artifact: the source does not say its digest")
	}
	if dir, err = os.MkdirTemp("", "mesh-artifact-"); err != nil {
		return "", fmt.Errorf("fetching the artifact: %w", err)
	}
	f := httpfetch.New(
		httpfetch.WithRetries(retries), httpfetch.WithMaxDownloadSize(maxDownload), httpfetch.WithLogger(nil),
		httpfetch.WithUntar(tar.WithMaxUntarSize(maxUnpacked), tar.WithSkipSymlinks()),
	)
	if err := f.FetchWithContext(ctx, a.URL, a.Digest, dir); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("fetching %s: %w", a.URL, err)
	}
	return dir, nil
}
