package main

import (
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

func (a *app) push() *cobra.Command {
	var rootFile string
	c := &cobra.Command{
		Use:   "push DIR oci://HOST/REPOSITORY:TAG --root FILE",
		Short: "Put a signed release into an OCI registry",
		Long: `push verifies the release as "verify" does and puts it under TAG as one artifact of
type ` + store.ArtifactType + `, whose one layer is a tar+gzip of DIR:
what a Flux OCIRepository extracts. It prints the artifact's digest. The same
release has the same digest.

Credentials are those of the docker configuration file ($DOCKER_CONFIG). A registry
on this machine speaks plain HTTP; another one does with "?insecure=true".`,
		Example: `  mesh-compile push release oci://registry.example/team/release:main --root keys/root.dsse.json`,
		Args:    takes("DIR", "URL"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runPush(cmd, args[0], args[1], rootFile) },
	}
	c.Flags().StringVar(&rootFile, "root", "", "root document `FILE` of the mesh (required)")
	_ = c.MarkFlagRequired("root")
	return c
}

func (a *app) runPush(cmd *cobra.Command, dir, url, rootFile string) error {
	root, err := openRoot(rootFile)
	if err != nil {
		return err
	}
	release, err := readRelease(dir)
	if err != nil {
		return a.refuse(dir, err)
	}
	doc, _, err := checkSigned(root, release)
	if err != nil {
		return a.refuse(dir, err)
	}
	digest, err := store.Push(cmd.Context(), ociURL(url), release, annotations(doc))
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s: release %d of mesh %s\n", digest, url, doc.Sequence, doc.MeshID)
	return nil
}

// annotations say where a release is from to who lists a registry. Flux shows the
// revision. They are of the signed document, so that they are the same each time.
func annotations(doc *sign.ReleaseDoc) map[string]string {
	notes := map[string]string{
		ocispec.AnnotationTitle:   "release of mesh " + doc.MeshID,
		ocispec.AnnotationVersion: fmt.Sprint(doc.Sequence),
		ocispec.AnnotationCreated: stamp(doc.IssuedAt),
	}
	if doc.Source.Commit != "" {
		notes[ocispec.AnnotationRevision] = doc.Source.Commit
	}
	if doc.Source.Repo != "" {
		notes[ocispec.AnnotationSource] = doc.Source.Repo
	}
	return notes
}

// ociURL lets people leave out the scheme.
func ociURL(url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return "oci://" + url
}
