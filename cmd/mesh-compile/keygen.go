package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

type keygenFlags struct {
	out, mesh, trustDomain string
	validity               time.Duration
}

func (a *app) keygen() *cobra.Command {
	var f keygenFlags
	c := &cobra.Command{
		Use:   "keygen -o DIR",
		Short: "Make the keys of a new mesh: root, release key and X.509 root",
		Long: `keygen writes to DIR:

  root.dsse.json   the root document: give it to every agent
  root.key         signs later root documents: put it away, offline
  release.key      signs releases: "build --key", "serve"
  ca.crt, ca.key   the X.509 root of workload identities: "serve"

Keys are readable by their owner alone. Nothing is overwritten.`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return a.runKeygen(&f) },
	}
	fs := c.Flags()
	fs.StringVarP(&f.out, "output", "o", "", "directory `DIR` to write (required)")
	fs.StringVar(&f.mesh, "mesh", "mesh", "`ID` of the mesh; agents refuse releases of another one")
	fs.StringVar(&f.trustDomain, "trust-domain", "cluster.local", "SPIFFE trust domain `NAME` of the mesh")
	fs.DurationVar(&f.validity, "validity", 365*24*time.Hour, "how long the root document and the X.509 root last")
	_ = c.MarkFlagRequired("output")
	return c
}

// keyFiles are what keygen writes, in this order.
var keyFiles = []string{"root.key", "release.key", "ca.key", "ca.crt", "root.dsse.json"}

// free refuses a directory that has any of the files, before one is written:
// half of two meshes is neither.
func free(dir string) error {
	for _, name := range keyFiles {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s exists: keygen overwrites nothing; name another directory", filepath.Join(dir, name))
		}
	}
	return nil
}

func (a *app) runKeygen(f *keygenFlags) error {
	if f.validity <= 0 {
		return fmt.Errorf("--validity %s: want a time to come", f.validity)
	}
	if err := free(f.out); err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o700); err != nil {
		return err
	}
	expires := time.Now().Add(f.validity).UTC().Truncate(time.Second)
	ca, err := identity.NewCA(f.trustDomain, expires)
	if err != nil {
		return err
	}
	keys, err := sign.Keygen(sign.KeygenOptions{
		MeshID: f.mesh, TrustDomain: f.trustDomain, ExpiresAt: expires, ServerRoots: []string{string(ca.RootPEM())},
	})
	if err != nil {
		return err
	}
	return a.writeKeys(f.out, keys, ca)
}

func (a *app) writeKeys(dir string, keys *sign.Keys, ca *identity.CA) error {
	writers := map[string]func(string) error{
		"root.key":       keys.Root.WritePrivateKey,
		"release.key":    keys.Release.WritePrivateKey,
		"ca.key":         ca.WritePrivateKey,
		"ca.crt":         func(name string) error { return writeNew(name, ca.RootPEM()) },
		"root.dsse.json": func(name string) error { return writeNew(name, keys.Document) },
	}
	for _, file := range keyFiles {
		name := filepath.Join(dir, file)
		if err := writers[file](name); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, name)
	}
	return nil
}

// writeNew writes a public file that must not exist.
func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
