package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/controller/store"
)

func (a *app) pull() *cobra.Command {
	var rootFile, out string
	c := &cobra.Command{
		Use:   "pull oci://HOST/REPOSITORY:TAG -o DIR --root FILE",
		Short: "Get a signed release from an OCI registry",
		Long: `pull gets what "push" has put into a registry, by tag or by digest (@sha256:...),
verifies it as "verify" does, and writes it to DIR. A release that is refused is not
written.`,
		Example: `  mesh-compile pull oci://registry.example/team/release:main -o release --root keys/root.dsse.json`,
		Args:    takes("URL"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runPull(cmd, args[0], out, rootFile) },
	}
	fs := c.Flags()
	fs.StringVarP(&out, "output", "o", "", "directory `DIR` to write; must not exist or be a release (required)")
	fs.StringVar(&rootFile, "root", "", "root document `FILE` that is trusted (required)")
	_ = c.MarkFlagRequired("output")
	_ = c.MarkFlagRequired("root")
	return c
}

func (a *app) runPull(cmd *cobra.Command, url, out, rootFile string) error {
	root, err := openRoot(rootFile)
	if err != nil {
		return err
	}
	release, digest, err := store.Pull(cmd.Context(), ociURL(url), nil)
	if err != nil {
		return err
	}
	doc, _, err := checkSigned(root, release)
	if err != nil {
		fmt.Fprintf(a.stdout, "%s: refused: %v\n", url, err)
		return errFindings
	}
	if err := release.Write(out); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s: release %d of mesh %s\n", digest, out, doc.Sequence, doc.MeshID)
	return nil
}
