package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/durable"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// TokenRequest says whom a join token is for: a workload of the live release, or
// an identity.
type TokenRequest struct {
	StateDir string
	KeysDir  string // StateDir/keys
	Workload string // namespace/name
	Identity string // namespace/service account, or a SPIFFE ID
	TTL      time.Duration
}

// DefaultTokenTTL is how long a join token can be used.
const DefaultTokenTTL = time.Hour

// CreateToken makes a one-time join token in the state directory of a controller,
// which may be running. Whoever can write there can be any workload.
func CreateToken(r TokenRequest) (token string, id spiffeid.ID, err error) {
	if r.KeysDir == "" {
		r.KeysDir = filepath.Join(r.StateDir, "keys")
	}
	if r.TTL <= 0 {
		r.TTL = DefaultTokenTTL
	}
	if id, err = r.identity(); err != nil {
		return "", id, err
	}
	token, err = identity.OpenTokens(tokensFile(r.StateDir)).Create(id, r.TTL)
	return token, id, err
}

func (r TokenRequest) identity() (spiffeid.ID, error) {
	switch {
	case (r.Workload == "") == (r.Identity == ""):
		return spiffeid.ID{}, errors.New("making a join token: name either a workload or an identity")
	case r.Workload != "":
		return workloadIdentity(r.StateDir, r.Workload)
	case strings.HasPrefix(r.Identity, "spiffe://"):
		return spiffeid.FromString(r.Identity)
	}
	namespace, account, ok := strings.Cut(r.Identity, "/")
	if !ok {
		return spiffeid.ID{}, fmt.Errorf("making a join token: identity %q: want namespace/service-account or a SPIFFE ID", r.Identity)
	}
	envelope, err := os.ReadFile(filepath.Join(r.KeysDir, rootFile))
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("making a join token: reading the root document: %w", err)
	}
	root, err := sign.OpenRoot(envelope)
	if err != nil {
		return spiffeid.ID{}, err
	}
	domain, err := spiffeid.TrustDomainFromString(root.Document().TrustDomain)
	if err != nil {
		return spiffeid.ID{}, err
	}
	return spiffeid.FromSegments(domain, "ns", namespace, "sa", account)
}

func workloadIdentity(stateDir, workload string) (spiffeid.ID, error) {
	var f facts
	err := readJSON(filepath.Join(stateDir, "facts.json"), &f)
	if errors.Is(err, fs.ErrNotExist) {
		return spiffeid.ID{}, fmt.Errorf("making a join token: %s has no release yet: start \"mesh-compile serve\" first, or name the identity", stateDir)
	}
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("making a join token: %w", err)
	}
	id, ok := f.Workloads[workload]
	if !ok {
		return spiffeid.ID{}, fmt.Errorf("making a join token: the live release has no workload %q", workload)
	}
	return spiffeid.FromString(id)
}

// joinTokens keeps a usable token for each workload in a directory.
type joinTokens struct {
	dir    string
	tokens *identity.Tokens
}

// joinTokenTTL is long, as the files are replaced only when they are used up.
const joinTokenTTL = 24 * time.Hour

// fill writes DIR/namespace/name.token for every workload whose token is missing,
// spent or expired.
func (j joinTokens) fill(ctx context.Context, leaves []artifact.Leaf) error {
	for _, l := range leaves {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := j.one(l); err != nil {
			return fmt.Errorf("writing the join token of %s: %w", l.Workload, err)
		}
	}
	return nil
}

func (j joinTokens) one(l artifact.Leaf) error {
	local, err := filepath.Localize(l.Workload + ".token") // never outside the directory
	if err != nil {
		return err
	}
	name := filepath.Join(j.dir, local)
	if old, err := os.ReadFile(name); err == nil {
		if ok, err := j.tokens.Usable(string(old)); ok || err != nil {
			return err
		}
	}
	id, err := spiffeid.FromString(l.SPIFFEID)
	if err != nil {
		return err
	}
	token, err := j.tokens.Create(id, joinTokenTTL)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return durable.ReplaceFile(name, []byte(token+"\n"), 0o600)
}
