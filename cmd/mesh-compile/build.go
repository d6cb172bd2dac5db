package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

type buildFlags struct {
	compileFlags
	out      string
	key      string
	root     string
	sequence uint64
	validity time.Duration
	roots    string // file
}

func (a *app) build() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "build PATH -o DIR",
		Short: "Compile a policy repository into a release",
		Long: `build lints PATH and, where nothing at or above --fail-on is found, writes the
release to DIR. The release's digest depends on the policies alone. With --key
the release is signed for the mesh of --root, under the sequence number given.`,
		Example: `  mesh-compile build policies -o release
  mesh-compile build git:main -o release --key keys/release.key --root keys/root.dsse.json --sequence 42`,
		Args: takes("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBuild(cmd, &f, args[0]) },
	}
	f.register(c)
	f.registerFindings(c)
	fs := c.Flags()
	fs.StringVarP(&f.out, "output", "o", "", "directory `DIR` to write; must not exist or be a release (required)")
	fs.StringVar(&f.key, "key", "", "sign with this private key `FILE`")
	fs.StringVar(&f.root, "root", "", "root document `FILE` of the mesh, required with --key")
	fs.Uint64Var(&f.sequence, "sequence", 0, "sequence number `N` of the release, required with --key; must rise")
	fs.DurationVar(&f.validity, "validity", 90*24*time.Hour, "how long agents may accept the signed release")
	fs.StringVar(&f.roots, "trust-bundle", "", "PEM `FILE` of X.509 roots, where the Mesh document has none")
	_ = c.MarkFlagRequired("output")
	return c
}

func (a *app) runBuild(cmd *cobra.Command, f *buildFlags, path string) error {
	failOn, err := f.failSeverity()
	if err != nil {
		return err
	}
	signer, root, err := f.signing()
	if err != nil {
		return err
	}
	trust, err := readOptional(f.roots)
	if err != nil {
		return err
	}
	c, err := a.compileWith(cmd.Context(), &f.compileFlags, compileWant{trustBundle: trust}, path)
	if err != nil {
		return err
	}
	defer c.tree.Close()
	if err := a.printDiagnostics(a.stderr, c); err != nil {
		return err
	}
	if err := findings(c.Diagnostics, min(failOn, diag.Error)); err != nil {
		a.summary(&f.compileFlags, c)
		fmt.Fprintf(a.stderr, "%s was not written\n", f.out)
		return err
	}
	release := c.Release
	if signer != nil {
		if release, err = signRelease(c, signer, root, f); err != nil {
			return err
		}
	}
	if err := release.Write(f.out); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s %s: %s\n", release.Digest(), f.out, count(len(release.Leaves()), "workload"))
	return nil
}

// signing reads key and root, or nothing without --key.
func (f *buildFlags) signing() (*sign.Signer, *sign.TrustedRoot, error) {
	if f.key == "" {
		if f.sequence != 0 {
			return nil, nil, fmt.Errorf("--sequence %d: a sequence number is signed; give --key", f.sequence)
		}
		return nil, nil, nil
	}
	if f.sequence == 0 || f.root == "" {
		return nil, nil, fmt.Errorf("--key needs --sequence N and --root FILE: agents refuse a release without a rising sequence number")
	}
	root, err := openRoot(f.root)
	if err != nil {
		return nil, nil, err
	}
	signer, err := sign.LoadPrivateKey(f.key, "release")
	return signer, root, err
}

func signRelease(c *compiled, signer *sign.Signer, root *sign.TrustedRoot, f *buildFlags) (*artifact.Release, error) {
	now := time.Now().UTC().Truncate(time.Second)
	doc := sign.Describe(c.Release)
	rd := root.Document()
	if own := c.Mesh.Settings().TrustDomain; own != rd.TrustDomain {
		return nil, fmt.Errorf("the policies are for trust domain %s and %s is for %s: agents would accept no peer; give the root of this mesh, or make one with \"mesh-compile keygen --trust-domain %s\"",
			own, f.root, rd.TrustDomain, own)
	}
	doc.MeshID, doc.SequenceEpoch, doc.Trust.TrustDomain = rd.MeshID, rd.SequenceEpoch, rd.TrustDomain
	doc.Sequence = f.sequence
	doc.Source.Commit, doc.Source.Tree = c.tree.Commit, c.tree.TreeHash
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.Time{Time: now}, sign.Time{Time: now}, sign.Time{Time: now.Add(f.validity)}
	doc.Analysis.Findings = countFindings(c.Diagnostics)
	envelope, err := sign.SignRelease(doc, signer)
	if err != nil {
		return nil, err
	}
	signed := c.Release.WithEnvelope(envelope)
	// A release that its own root would refuse is found here and not at the agents.
	if _, _, err := sign.CheckRelease(root, signed, now); err != nil {
		return nil, fmt.Errorf("checking the signed release against %s: %w", f.root, err)
	}
	return signed, nil
}

func countFindings(l diag.List) sign.Findings {
	return sign.Findings{
		Critical: uint64(l.Count(diag.Critical)), Error: uint64(l.Count(diag.Error)),
		Warning: uint64(l.Count(diag.Warning)), Info: uint64(l.Count(diag.Info)),
	}
}
