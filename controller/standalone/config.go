package standalone

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// Config of a controller. Zero fields have the defaults that the comments name.
type Config struct {
	// Path is the policy repository: a directory, a file, or "git:BRANCH[:path]"
	// of Repository.
	Path       string
	Repository string // "."

	StateDir string // required; made where it does not exist
	KeysDir  string // what keygen wrote; StateDir/keys, where keys are made if there are none
	MeshID   string // of keys that are made; "mesh"
	// TrustDomain is that of keys that are made; the one of the Mesh document.
	TrustDomain string

	Listen       string   // gRPC; DefaultListen
	ListenStatus string   // HTTP; DefaultListenStatus
	ServerNames  []string // more DNS names and addresses of the server's certificate
	// Environment and Clusters are the audience of releases: agents elsewhere
	// refuse them.
	Environment string
	Clusters    []string

	// Compile has Namespace, Set and AssumeExternal; the rest is set here.
	Compile         compiler.Options
	CompileTimeout  time.Duration // DefaultCompileTimeout; what takes longer is refused
	ReleaseValidity time.Duration // DefaultReleaseValidity; signed again after half of it
	CertificateTTL  time.Duration // identity.DefaultTTL

	// JoinTokens is a directory to keep one usable join token per workload in,
	// for a demo on one machine: whoever reads it can be any workload.
	JoinTokens string

	Debounce    time.Duration // DefaultDebounce
	Poll        time.Duration // DefaultPoll
	DNSInterval time.Duration // endpoints.DefaultInterval
	Lookup      endpoints.Lookup

	Log *slog.Logger // text to standard error
	// Ready, where set, is told the addresses listened on, before the first
	// compilation.
	Ready func(Addresses)
}

// Addresses that a controller listens on.
type Addresses struct{ Delivery, Status net.Addr }

// Defaults of Config.
const (
	DefaultListen          = "127.0.0.1:15010"
	DefaultListenStatus    = "127.0.0.1:15014"
	DefaultReleaseValidity = signer.DefaultValidity
	DefaultCompileTimeout  = time.Minute
	DefaultDebounce        = 50 * time.Millisecond
	DefaultPoll            = 2 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Path == "":
		return c, errors.New("no policy repository: name a directory or git:BRANCH")
	case c.StateDir == "":
		return c, errors.New("no state directory: releases and keys must outlive the process")
	}
	c.Repository = cmp.Or(c.Repository, ".")
	c.KeysDir = cmp.Or(c.KeysDir, filepath.Join(c.StateDir, "keys"))
	c.MeshID = cmp.Or(c.MeshID, "mesh")
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	c.ListenStatus = cmp.Or(c.ListenStatus, DefaultListenStatus)
	c.ReleaseValidity = cmp.Or(c.ReleaseValidity, DefaultReleaseValidity)
	c.CompileTimeout = cmp.Or(c.CompileTimeout, DefaultCompileTimeout)
	c.CertificateTTL = cmp.Or(c.CertificateTTL, identity.DefaultTTL)
	c.Debounce = cmp.Or(c.Debounce, DefaultDebounce)
	c.Poll = cmp.Or(c.Poll, DefaultPoll)
	c.DNSInterval = cmp.Or(c.DNSInterval, endpoints.DefaultInterval)
	if c.Lookup == nil {
		c.Lookup = endpoints.SystemLookup
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return c, c.checkPlaces()
}

// checkPlaces refuses a state directory that is read as policy, whose every
// release would be a change of the repository.
func (c Config) checkPlaces() error {
	if strings.HasPrefix(c.Path, gitPrefix) {
		return nil
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return err
	}
	for _, dir := range []string{c.StateDir, c.KeysDir, c.JoinTokens} {
		if dir == "" {
			continue
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		if rel, err := filepath.Rel(path, abs); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return fmt.Errorf("%s is inside the policy repository %s: put it elsewhere", dir, c.Path)
		}
	}
	return nil
}

// serverNames are what agents may call the server.
func (c Config) serverNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	names = append(names, c.ServerNames...)
	slices.Sort(names)
	return slices.Compact(names)
}

// Files of a state directory.
func (c Config) stateFile() string  { return filepath.Join(c.StateDir, "state.json") }
func (c Config) factsFile() string  { return filepath.Join(c.StateDir, "facts.json") }
func (c Config) tokensFile() string { return tokensFile(c.StateDir) }
func (c Config) releaseDir() string { return filepath.Join(c.StateDir, "release") }

func tokensFile(stateDir string) string { return filepath.Join(stateDir, "tokens.json") }
