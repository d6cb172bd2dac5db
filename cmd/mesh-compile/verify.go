package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

func (a *app) verify() *cobra.Command {
	var rootFile string
	c := &cobra.Command{
		Use:   "verify DIR --root FILE",
		Short: "Check a release's signatures, digests and Merkle tree, and say who signed what",
		Long: `verify does to a whole release what an agent does to its part: the signature by
a release key of the root, the times, the Merkle root over the leaves, and every
blob's digest. It prints who signed what, from which commit.`,
		Args: takes("DIR"),
		RunE: func(_ *cobra.Command, args []string) error { return a.runVerify(args[0], rootFile) },
	}
	c.Flags().StringVar(&rootFile, "root", "", "root document `FILE` that is trusted (required)")
	_ = c.MarkFlagRequired("root")
	return c
}

var errUnsigned = errors.New("it is not signed: \"mesh-compile build --key FILE --root FILE --sequence N\" signs it")

// checkSigned verifies a whole release.
func checkSigned(root *sign.TrustedRoot, r *artifact.Release) (*sign.ReleaseDoc, []sign.Key, error) {
	if r.Envelope() == nil {
		return nil, nil, errUnsigned
	}
	return sign.CheckRelease(root, r, time.Now())
}

func (a *app) runVerify(dir, rootFile string) error {
	root, err := openRoot(rootFile)
	if err != nil {
		return err
	}
	release, err := readRelease(dir)
	if err != nil {
		return a.refuse(dir, err)
	}
	doc, keys, err := checkSigned(root, release)
	if err != nil {
		return a.refuse(dir, err)
	}
	a.printVerified(dir, release, doc, keys)
	return nil
}

// refuse prints why a release is not to be used, on standard output: it is the
// command's finding.
func (a *app) refuse(dir string, err error) error {
	if _, missing := os.Stat(dir); missing != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: refused: %v\n", dir, err)
	return errFindings
}

func (a *app) printVerified(dir string, r *artifact.Release, doc *sign.ReleaseDoc, keys []sign.Key) {
	fmt.Fprintf(a.stdout, "%s: good\n", dir)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(a.stdout, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("mesh", "%s (trust domain %s)", doc.MeshID, doc.Trust.TrustDomain)
	row("sequence", "%d", doc.Sequence)
	row("content", "%s", doc.ContentDigest)
	row("workloads", "%d", len(r.Leaves()))
	row("commit", "%s", orNone(doc.Source.Commit))
	for _, k := range keys {
		row("signed by", "%s (%s)", k.KeyID[:16], orNone(k.Owner))
	}
	row("valid", "%s to %s", stamp(doc.NotBefore), stamp(doc.ExpiresAt))
	f := doc.Analysis.Findings
	row("findings", "%d critical, %d errors, %d warnings", f.Critical, f.Error, f.Warning)
}

func stamp(t sign.Time) string { return t.UTC().Format(time.RFC3339) }

func openRoot(name string) (*sign.TrustedRoot, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the root document: %w; \"mesh-compile keygen\" makes one", err)
	}
	root, err := sign.OpenRoot(data)
	if err != nil {
		return nil, fmt.Errorf("reading root %s: %w", name, err)
	}
	return root, nil
}

// readRelease reads a release from a directory, or from a tar+gzip of one.
func readRelease(dir string) (*artifact.Release, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the release: %w; \"mesh-compile build PATH -o %s\" makes one", err, dir)
	}
	if info.IsDir() {
		return artifact.Read(os.DirFS(dir), artifact.DefaultLimits)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the release: %w", err)
	}
	defer f.Close()
	return artifact.ReadTar(f, artifact.DefaultLimits)
}

// readOptional reads a file, or nothing where no name is given.
func readOptional(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	data, err := os.ReadFile(name)
	return string(data), err
}
