package sign

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// schemaVersion is that of every document of this package.
const schemaVersion = 1

// Root says who may sign what, and how old a release may be. It is signed
// offline by its own keys.
type Root struct {
	SchemaVersion uint64 `json:"schemaVersion"`
	MeshID        string `json:"meshId"`
	TrustDomain   string `json:"trustDomain"`
	Version       uint64 `json:"version"`
	ExpiresAt     Time   `json:"expiresAt"`
	Keys          []Key  `json:"keys"`
	Roles         Roles  `json:"roles"`

	// ServerRoots are the X.509 certificates (PEM, one each) that an agent
	// accepts for the controller until it has verified a release.
	ServerRoots []string `json:"serverRoots"`

	// SequenceEpoch is compared before the sequence: raising it recovers from
	// a stolen key that signed a huge sequence.
	SequenceEpoch uint64 `json:"sequenceEpoch"`
	// MinReleaseSequence refuses every older release of the epoch at once.
	MinReleaseSequence uint64 `json:"minReleaseSequence"`

	MinAgentVersion      string  `json:"minAgentVersion,omitempty"`
	MinEnvoyVersion      string  `json:"minEnvoyVersion,omitempty"`
	MaxReleaseValidity   Seconds `json:"maxReleaseValidity"`
	MaxFreshnessValidity Seconds `json:"maxFreshnessValidity"`
	ClockSkew            Seconds `json:"clockSkew"`
}

// Roles are the roles of a mesh. Without a freshness role, agents without a
// high-water mark accept any release that is not below the floor; without a
// breakglass role there are no breakglass releases.
type Roles struct {
	Root       Role  `json:"root"`
	Release    Role  `json:"release"`
	Freshness  *Role `json:"freshness,omitempty"`
	Breakglass *Role `json:"breakglass,omitempty"`
}

func (r Roles) clone() Roles {
	r.Root.KeyIDs, r.Release.KeyIDs = slices.Clone(r.Root.KeyIDs), slices.Clone(r.Release.KeyIDs)
	for _, optional := range []**Role{&r.Freshness, &r.Breakglass} {
		if *optional != nil {
			*optional = &Role{KeyIDs: slices.Clone((*optional).KeyIDs), Threshold: (*optional).Threshold}
		}
	}
	return r
}

// A Role is met by signatures of Threshold distinct keys.
type Role struct {
	KeyIDs    []string `json:"keyIds"`
	Threshold uint64   `json:"threshold"`
}

// Defaults of [NewRoot].
const (
	DefaultReleaseValidity   = 365 * 24 * time.Hour
	DefaultFreshnessValidity = 24 * time.Hour
	DefaultClockSkew         = 5 * time.Minute
)

// NewRoot returns version 1 of a root with one key for itself and one for
// releases. Fill in more keys, roles and thresholds before signing it.
func NewRoot(meshID, trustDomain string, expires time.Time, root, release Key) *Root {
	return &Root{
		SchemaVersion: schemaVersion, MeshID: meshID, TrustDomain: trustDomain, Version: 1, ExpiresAt: At(expires),
		Keys: []Key{root, release}, ServerRoots: []string{},
		Roles: Roles{
			Root:    Role{KeyIDs: []string{root.KeyID}, Threshold: 1},
			Release: Role{KeyIDs: []string{release.KeyID}, Threshold: 1},
		},
		MaxReleaseValidity:   SecondsOf(DefaultReleaseValidity),
		MaxFreshnessValidity: SecondsOf(DefaultFreshnessValidity),
		ClockSkew:            SecondsOf(DefaultClockSkew),
	}
}

// SignRoot returns the envelope of a root document.
func SignRoot(r *Root, signers ...*Signer) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("signing root: %w", err)
	}
	return seal(rootType, r, signers)
}

func (r *Root) check() error {
	if err := checkHeader(r.SchemaVersion, r.MeshID); err != nil {
		return err
	}
	switch {
	case r.TrustDomain == "":
		return fmt.Errorf("trustDomain is empty")
	case r.Version == 0:
		return fmt.Errorf("version is 0, the first root is 1")
	case r.ExpiresAt.IsZero():
		return fmt.Errorf("expiresAt is missing")
	case r.MaxReleaseValidity == 0:
		return fmt.Errorf("maxReleaseValidity is 0")
	case r.Roles.Freshness != nil && r.MaxFreshnessValidity == 0:
		return fmt.Errorf("maxFreshnessValidity is 0 and there is a freshness role")
	}
	for i, text := range r.ServerRoots {
		if err := checkCertificate(text); err != nil {
			return fmt.Errorf("serverRoots[%d]: %w", i, err)
		}
	}
	_, err := r.keyring()
	return err
}

func checkCertificate(text string) error {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		return fmt.Errorf("want one PEM block CERTIFICATE")
	}
	_, err := x509.ParseCertificate(block.Bytes)
	return err
}

func checkHeader(schema uint64, meshID string) error {
	if schema != schemaVersion {
		return fmt.Errorf("schemaVersion is %d, this program reads %d", schema, schemaVersion)
	}
	if meshID == "" {
		return fmt.Errorf("meshId is empty")
	}
	return nil
}

// A keyring is the parsed keys of a root by identifier.
type keyring map[string]trustedKey

type trustedKey struct {
	Key
	public crypto.PublicKey
}

func (k keyring) in(role Role, id string) (trustedKey, bool) {
	if !slices.Contains(role.KeyIDs, id) {
		return trustedKey{}, false
	}
	key, ok := k[id]
	return key, ok
}

// keyring parses the keys and checks that every role can be met by them.
func (r *Root) keyring() (keyring, error) {
	keys := keyring{}
	for _, k := range r.Keys {
		public, err := k.parse()
		if err != nil {
			return nil, err
		}
		if _, twice := keys[k.KeyID]; twice {
			return nil, fmt.Errorf("key %s is listed twice", k.KeyID)
		}
		keys[k.KeyID] = trustedKey{k, public}
	}
	roles := map[string]*Role{"root": &r.Roles.Root, "release": &r.Roles.Release, "freshness": r.Roles.Freshness, "breakglass": r.Roles.Breakglass}
	for _, name := range []string{"root", "release", "freshness", "breakglass"} {
		if role := roles[name]; role != nil {
			if err := role.check(keys); err != nil {
				return nil, fmt.Errorf("role %s: %w", name, err)
			}
		}
	}
	return keys, nil
}

func (r Role) check(keys keyring) error {
	seen := map[string]bool{}
	for _, id := range r.KeyIDs {
		if _, ok := keys[id]; !ok {
			return fmt.Errorf("key %.80q is not among the keys", id)
		}
		if seen[id] {
			return fmt.Errorf("key %s is named twice", id)
		}
		seen[id] = true
	}
	if r.Threshold == 0 || r.Threshold > uint64(len(seen)) || r.Threshold > MaxSignatures {
		return fmt.Errorf("threshold %d of %d keys cannot be met", r.Threshold, len(seen))
	}
	return nil
}

// A TrustedRoot is a verified root document.
type TrustedRoot struct {
	doc      Root
	keys     keyring
	envelope []byte
}

// OpenRoot reads the root that a process starts from. It is trusted for where
// it was read from: the caller must not take it from the network. That it is
// signed by its own keys finds accidents.
func OpenRoot(envelope []byte) (*TrustedRoot, error) {
	s, err := open(rootType, envelope)
	if err != nil {
		return nil, err
	}
	return openRoot(s, envelope)
}

func openRoot(s *sealed, envelope []byte) (*TrustedRoot, error) {
	t := &TrustedRoot{envelope: append([]byte(nil), envelope...)}
	if err := s.decode(rootType, &t.doc); err != nil {
		return nil, err
	}
	keys, err := t.doc.keyring()
	if err != nil {
		return nil, rootType.refuse("document", "%w", err)
	}
	t.keys = keys
	if _, err := t.meets(rootType, s, t.doc.Roles.Root); err != nil {
		return nil, err
	}
	return t, nil
}

// meets returns the keys that met the role's threshold.
func (t *TrustedRoot) meets(kind docType, s *sealed, role Role) ([]Key, error) {
	by := s.signedBy(t.keys, role)
	if uint64(len(by)) < role.Threshold {
		return nil, kind.refuse("signature", "signed by %d of the keys that root version %d names for this, want %d",
			len(by), t.doc.Version, role.Threshold)
	}
	return by, nil
}

// Document returns a copy of the root document, to look at or to make the
// next one from.
func (t *TrustedRoot) Document() Root {
	doc := t.doc
	doc.Keys, doc.ServerRoots = slices.Clone(doc.Keys), slices.Clone(doc.ServerRoots)
	for i, k := range doc.Keys {
		doc.Keys[i].PublicKey = slices.Clone(k.PublicKey)
	}
	doc.Roles = doc.Roles.clone()
	return doc
}

// Envelope returns the signed form, for the caller to store.
func (t *TrustedRoot) Envelope() []byte { return append([]byte(nil), t.envelope...) }

// Next verifies the root that follows t: exactly the next version, signed by
// the threshold of t and by its own. The caller stores it before it goes on.
func (t *TrustedRoot) Next(envelope []byte) (*TrustedRoot, error) {
	s, err := open(rootType, envelope)
	if err != nil {
		return nil, err
	}
	if _, err := t.meets(rootType, s, t.doc.Roles.Root); err != nil {
		return nil, err
	}
	next, err := openRoot(s, envelope)
	if err != nil {
		return nil, err
	}
	if err := t.follows(&next.doc); err != nil {
		return nil, err
	}
	return next, nil
}

func (t *TrustedRoot) follows(next *Root) error {
	switch old := &t.doc; {
	case next.Version != old.Version+1:
		return refuse(RootVersion, "verifying root: version %d after version %d: versions are taken one by one", next.Version, old.Version)
	case next.MeshID != old.MeshID || next.TrustDomain != old.TrustDomain:
		return refuse(RootMesh, "verifying root: mesh %.80q with trust domain %.80q, this one is %q with %q",
			next.MeshID, next.TrustDomain, old.MeshID, old.TrustDomain)
	case next.SequenceEpoch < old.SequenceEpoch,
		next.SequenceEpoch == old.SequenceEpoch && next.MinReleaseSequence < old.MinReleaseSequence:
		return refuse(RootFloor, "verifying root: version %d lowers the floor from epoch %d, sequence %d to epoch %d, sequence %d",
			next.Version, old.SequenceEpoch, old.MinReleaseSequence, next.SequenceEpoch, next.MinReleaseSequence)
	}
	return nil
}
