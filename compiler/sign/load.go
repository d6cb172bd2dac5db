package sign

import (
	"errors"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Loaded is everything that an accepted release names for one workload.
type Loaded struct {
	artifact.Content
	TrustBundle []byte // PEM; nil where the release names none
}

// Needs returns the digests to fetch next, until there are none and
// [Accepted.Load] can do its work.
func (a *Accepted) Needs(get artifact.Source) ([]artifact.Digest, error) {
	need, err := artifact.Missing(a.Leaf, get)
	if err != nil {
		return nil, blobFault(err)
	}
	if d := a.Release.Trust.BundleDigest; !d.IsZero() && !slices.Contains(need, d) {
		if _, err := artifact.Fetch(d, get); err != nil {
			need = append(need, d)
		}
	}
	return need, nil
}

// Load checks and reads the blobs of a live leaf.
func (a *Accepted) Load(get artifact.Source) (*Loaded, error) {
	content, err := artifact.Load(a.Leaf, get)
	if err != nil {
		return nil, blobFault(err)
	}
	out := &Loaded{Content: *content}
	if d := a.Release.Trust.BundleDigest; !d.IsZero() {
		if out.TrustBundle, err = artifact.Fetch(d, get); err != nil {
			return nil, blobFault(err)
		}
	}
	return out, nil
}

func blobFault(err error) error {
	code := ReleaseBlobMalformed
	var fault *artifact.BlobError
	if errors.As(err, &fault) {
		switch fault.Reason {
		case artifact.BlobMissing:
			code = ReleaseBlobMissing
		case artifact.BlobDigest:
			code = ReleaseDigest
		case artifact.BlobSize:
			code = ReleaseBlobSize
		}
	}
	return refuse(code, "reading the release: %w", err)
}
