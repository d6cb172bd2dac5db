package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	ociref "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// ArtifactType is the type of a release in a registry.
const ArtifactType = "application/vnd.mesh-compile.release.v1"

// layerType is what Flux's OCIRepository extracts.
const layerType = ocispec.MediaTypeImageLayerGzip

const (
	ociScheme   = "oci"
	maxManifest = 1 << 20 // bytes of an OCI manifest; ours have one or two layers
	maxLayer    = 2 << 30 // bytes of a layer as it travels
	userAgent   = "mesh-compile"
)

// openRepository returns the repository of an oci:// URL. A registry of this
// machine speaks plain HTTP unless the URL says otherwise, any other HTTPS.
func openRepository(rawURL string) (*remote.Repository, error) {
	rest, ok := strings.CutPrefix(rawURL, ociScheme+"://")
	if !ok {
		return nil, fmt.Errorf("%q: want oci://host/repository", rawURL)
	}
	rest, query, _ := strings.Cut(rest, "?")
	ref, err := ociref.ParseReference(rest)
	if err != nil {
		return nil, err
	}
	plain, err := plainHTTP(ref.Host(), query)
	if err != nil {
		return nil, err
	}
	known, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading credentials: %w", err)
	}
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(known)}
	client.SetUserAgent(userAgent)
	return &remote.Repository{Client: client, Reference: ref, PlainHTTP: plain, SkipReferrersGC: true}, nil
}

func plainHTTP(host, query string) (bool, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return false, err
	}
	insecure := values.Get("insecure")
	values.Del("insecure")
	for name := range values {
		return false, fmt.Errorf("unknown parameter %q, there is insecure=true", name)
	}
	switch insecure {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "":
		return isLoopback(host), nil
	}
	return false, fmt.Errorf("insecure=%q: want true or false", insecure)
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// pushLayer sends a layer that the repository does not have.
func pushLayer(ctx context.Context, repo *remote.Repository, data []byte) (ocispec.Descriptor, error) {
	return pushBlob(ctx, repo, content.NewDescriptorFromBytes(layerType, data), data)
}

func pushBlob(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor, data []byte) (ocispec.Descriptor, error) {
	have, err := repo.Exists(ctx, desc)
	if err != nil || have {
		return desc, err
	}
	err = repo.Push(ctx, desc, bytes.NewReader(data))
	if errors.Is(err, errdef.ErrAlreadyExists) {
		err = nil
	}
	return desc, err
}

// pushArtifact sends the manifest that makes an artifact of layers. The same
// layers and annotations give the same digest.
func pushArtifact(ctx context.Context, repo *remote.Repository, tag string, layers []ocispec.Descriptor, notes map[string]string) (ocispec.Descriptor, error) {
	return pushTyped(ctx, repo, ArtifactType, tag, layers, notes)
}

func pushTyped(ctx context.Context, repo *remote.Repository, kind, tag string, layers []ocispec.Descriptor, notes map[string]string) (ocispec.Descriptor, error) {
	config := ocispec.DescriptorEmptyJSON
	if _, err := pushBlob(ctx, repo, config, config.Data); err != nil {
		return ocispec.Descriptor{}, err
	}
	data, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: kind,
		Config: config, Layers: layers, Annotations: notes,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, data)
	return desc, repo.PushReference(ctx, desc, bytes.NewReader(data), tag)
}

// remoteArtifact is a release in a registry, of which the manifest is read.
type remoteArtifact struct {
	repo   *remote.Repository
	digest digest.Digest
	layers []ocispec.Descriptor // a whole release, and the difference to another
	limits artifact.Limits
}

// fetchArtifact reads the manifest of a tag or digest.
func fetchArtifact(ctx context.Context, repo *remote.Repository, ref string, limits artifact.Limits) (*remoteArtifact, error) {
	desc, body, err := repo.FetchReference(ctx, ref)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if desc.Size > maxManifest {
		return nil, fmt.Errorf("its manifest has %d bytes, at most %d are read", desc.Size, maxManifest)
	}
	data, err := content.ReadAll(body, desc)
	if err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if m.ArtifactType != ArtifactType {
		return nil, fmt.Errorf("it is no release: its type is %.200q, want %q", m.ArtifactType, ArtifactType)
	}
	if n := len(m.Layers); n != 1 && n != 2 {
		return nil, fmt.Errorf("it has %d layers, want 1 or 2", n)
	}
	return &remoteArtifact{repo: repo, digest: desc.Digest, layers: m.Layers, limits: limits}, nil
}

// layer reads a layer and checks it against its digest.
func (a *remoteArtifact) layer(ctx context.Context, desc ocispec.Descriptor) (*artifact.Layer, error) {
	if desc.MediaType != layerType || desc.Size > maxLayer {
		return nil, fmt.Errorf("layer %s: %.100q of %d bytes, want %s of at most %d", desc.Digest, desc.MediaType, desc.Size, layerType, maxLayer)
	}
	body, err := a.repo.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	checked := content.NewVerifyReader(body, desc)
	l, err := artifact.ReadLayer(checked, a.limits)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	if _, err := io.Copy(io.Discard, checked); err != nil { // what follows the archive's end
		return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	if err := checked.Verify(); err != nil {
		return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	return l, nil
}

// release reads the release, with its envelope where it has one. The layer below
// the difference is not asked for where prev has what is in it.
func (a *remoteArtifact) release(ctx context.Context, prev *artifact.Release) (*artifact.Release, error) {
	top, err := a.layer(ctx, a.layers[len(a.layers)-1])
	if err != nil {
		return nil, err
	}
	if top.Manifest() == nil {
		return nil, errors.New("its last layer has no release manifest")
	}
	var below *artifact.Layer
	r, err := artifact.Assemble(top.Manifest(), prev, a.limits, func(d artifact.Digest) ([]byte, error) {
		if data, ok := top.Blob(d); ok {
			return data, nil
		}
		if below == nil && len(a.layers) > 1 {
			if below, err = a.layer(ctx, a.layers[0]); err != nil {
				return nil, err
			}
		}
		if below != nil {
			if data, ok := below.Blob(d); ok {
				return data, nil
			}
		}
		return nil, &artifact.BlobError{Digest: d, Reason: artifact.BlobMissing}
	})
	if err != nil {
		return nil, err
	}
	if envelope := top.Envelope(); envelope != nil {
		r = r.WithEnvelope(envelope)
	}
	return r, nil
}
