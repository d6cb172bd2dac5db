package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Digest is the SHA-256 of a blob. The zero Digest stands for "no blob".
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// DigestOf returns the digest of data.
func DigestOf(data []byte) Digest { return sha256.Sum256(data) }

// ParseDigest reads the form that [Digest.String] writes, and no other
// spelling of it: digests are compared as text in logs and file names.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if err := d.UnmarshalText([]byte(s)); err != nil {
		return Digest{}, err
	}
	return d, nil
}

// String returns "sha256:" and 64 lower-case hexadecimal digits.
func (d Digest) String() string { return digestPrefix + d.Hex() }

// Hex returns the 64 digits alone: the name of the blob's file.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d stands for "no blob".
func (d Digest) IsZero() bool { return d == Digest{} }

// Compare orders digests by their bytes.
func (d Digest) Compare(e Digest) int { return bytes.Compare(d[:], e[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) {
	return hex.AppendEncode([]byte(digestPrefix), d[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	s, ok := strings.CutPrefix(string(text), digestPrefix)
	if !ok || len(s) != hex.EncodedLen(len(d)) || s != strings.ToLower(s) {
		return fmt.Errorf("digest %.80q: want sha256: and 64 lower-case hexadecimal digits", text)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return fmt.Errorf("digest %.80q: %w", text, err)
	}
	return nil
}
