package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Tokens is a file of one-time join tokens. It holds their hashes alone, so
// that a copy of the file joins nothing. Several processes may use one file.
type Tokens struct {
	name string

	mu   sync.Mutex
	info os.FileInfo // of the file that was read last
	last []token
}

// OpenTokens returns the store in the named file, which need not exist yet.
func OpenTokens(name string) *Tokens { return &Tokens{name: name} }

// token is one entry of the file.
type token struct {
	Hash     string    `json:"hash"` // hexadecimal SHA-256
	Identity string    `json:"identity"`
	Expires  time.Time `json:"expires"`
	// UsedBy is the SHA-256 of the public key that the token was given for. The
	// same key may ask again, as the answer may have been lost; no other may.
	UsedBy string `json:"usedBy,omitempty"`
}

type tokenFile struct {
	Version int     `json:"version"`
	Tokens  []token `json:"tokens"`
}

// Refusals of a token.
var (
	ErrTokenUnknown = errors.New("the join token is not known")
	ErrTokenExpired = errors.New("the join token has expired")
	ErrTokenUsed    = errors.New("the join token was used before")
)

// tokenPrefix lets secret scanners and people know what they look at.
const tokenPrefix = "mesh-join-"

// maxTokens bounds the file. Expired tokens are removed when one is made.
const maxTokens = 1 << 16

const maxTokenFile = 32 << 20

// Create makes a token that proves id once until it expires.
func (t *Tokens) Create(id spiffeid.ID, ttl time.Duration) (string, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("making a join token: %w", err)
	}
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	now := time.Now().UTC()
	err := t.change(func(all []token) ([]token, error) {
		all = slices.DeleteFunc(all, func(e token) bool { return !now.Before(e.Expires) })
		if len(all) >= maxTokens {
			return nil, fmt.Errorf("%s holds %d tokens that have not expired", t.name, len(all))
		}
		return append(all, token{Hash: hashToken(text), Identity: id.String(), Expires: now.Add(ttl)}), nil
	})
	if err != nil {
		return "", fmt.Errorf("making a join token: %w", err)
	}
	return text, nil
}

// redeem spends a token on a public key, durably, before it returns. A token
// that is not known costs neither the lock nor the disk.
func (t *Tokens) redeem(text string, key []byte) (Grant, error) {
	var g Grant
	known, err := t.read()
	if err != nil {
		return g, err
	}
	if find(known, text) < 0 {
		return g, ErrTokenUnknown
	}
	err = t.change(func(all []token) ([]token, error) {
		i := find(all, text)
		if i < 0 {
			return nil, ErrTokenUnknown
		}
		e, by := &all[i], hashOf(key)
		g.Audit = []slog.Attr{slog.String("token", e.Hash[:12])} // of its hash, the beginning
		switch {
		case !time.Now().Before(e.Expires):
			return nil, ErrTokenExpired
		case e.UsedBy == by:
			all = nil // as it stands
		case e.UsedBy != "":
			return nil, ErrTokenUsed
		}
		var err error
		g.ID, err = spiffeid.FromString(e.Identity)
		e.UsedBy = by
		return all, err
	})
	return g, err
}

// Usable reports whether a token can still be spent.
func (t *Tokens) Usable(text string) (bool, error) {
	all, err := t.read()
	if err != nil {
		return false, err
	}
	i := find(all, text)
	return i >= 0 && all[i].UsedBy == "" && time.Now().Before(all[i].Expires), nil
}

// find compares with every entry, in a time that says nothing about them.
func find(all []token, text string) int {
	found, hash := -1, []byte(hashToken(text))
	for i := range all {
		if subtle.ConstantTimeCompare([]byte(all[i].Hash), hash) == 1 {
			found = i
		}
	}
	return found
}

func hashToken(text string) string { return hashOf([]byte(strings.TrimSpace(text))) }

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// change edits the file under its lock. An edit that returns nil changes nothing.
func (t *Tokens) change(edit func([]token) ([]token, error)) error {
	unlock, err := lockedfile.MutexAt(t.name + ".lock").Lock()
	if err != nil {
		return err
	}
	defer unlock()
	all, err := t.read()
	if err != nil {
		return err
	}
	all, err = edit(slices.Clone(all))
	if err != nil || all == nil {
		return err
	}
	data, err := json.MarshalIndent(tokenFile{Version: 1, Tokens: all}, "", " ")
	if err != nil {
		return err
	}
	return replace(t.name, data)
}

// read returns the entries of the file, which must not be changed. A file that
// is still the same, as every change makes a new one, is not read again.
func (t *Tokens) read() ([]token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case t.info != nil && os.SameFile(info, t.info) && info.Size() == t.info.Size() && info.ModTime().Equal(t.info.ModTime()):
		return t.last, nil
	case info.Size() > maxTokenFile:
		return nil, fmt.Errorf("reading %s: %d bytes, at most %d are read", t.name, info.Size(), maxTokenFile)
	}
	all, err := readTokens(t.name)
	if err == nil {
		t.info, t.last = info, all
	}
	return all, err
}

func readTokens(name string) ([]token, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var f tokenFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("reading %s: version is %d, this program reads 1", name, f.Version)
	}
	for _, e := range f.Tokens {
		if len(e.Hash) != 2*sha256.Size {
			return nil, fmt.Errorf("reading %s: a hash of %d digits, want %d", name, len(e.Hash), 2*sha256.Size)
		}
	}
	return f.Tokens, nil
}

// replace writes a file that its owner alone may read, whole or not at all, and
// durably: a token that was spent stays so after a crash.
func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
