package agent

import (
	"context"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/agent/files"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/agent/xds"
)

// filesInterval is how often mounted certificates are looked at: Kubernetes takes
// about a minute to write a changed secret.
const filesInterval = 2 * time.Second

// fileSecrets reads the certificates of the release's gateways, and of the release
// before it, whose connections may still come in. One that cannot be read stays as it
// was read last; one that never could is missing, and its listener's chain refuses
// clients while the others serve.
func (a *Agent) fileSecrets() []xds.Resource {
	var names []string
	a.view(func() {
		for _, r := range []*verify.Release{a.active, a.trying} {
			if r != nil {
				names = append(names, r.FileSecrets()...)
			}
		}
	})
	slices.Sort(names)
	a.filesMu.Lock()
	defer a.filesMu.Unlock()
	var out []xds.Resource
	var problems []string
	read := map[string]xds.Resource{}
	for _, name := range slices.Compact(names) {
		secret, err := files.Read(a.config.CertificatesDir, name)
		if err != nil {
			problems = append(problems, err.Error())
			var had bool
			if secret, had = a.files[name]; !had {
				continue
			}
		}
		read[name] = secret
		out = append(out, secret)
	}
	a.files = read
	var known []string
	a.view(func() { known = a.status.Files })
	if !slices.Equal(known, problems) {
		for _, p := range problems {
			a.config.Log.Error("a gateway's certificate cannot be read", "problem", p)
		}
		a.change(func() { a.status.Files = problems })
	}
	return out
}

// keepFiles serves certificates that changed.
func (a *Agent) keepFiles(ctx context.Context) error {
	ticker := time.NewTicker(filesInterval)
	defer ticker.Stop()
	var last []string
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		var now []string
		for _, s := range a.fileSecrets() {
			now = append(now, s.Name+" "+s.Version)
		}
		if slices.Equal(now, last) {
			continue
		}
		if err := a.serveSecrets(); err != nil {
			return err
		}
		last = now
	}
}
