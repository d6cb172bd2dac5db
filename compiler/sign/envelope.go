package sign

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Limits of every envelope.
const (
	MaxEnvelope   = 64 << 10 // bytes
	MaxSignatures = 16
	maxInteger    = 1<<53 - 1 // what every JSON reader holds exactly
)

// seal signs a document that was checked.
func seal(t docType, doc any, signers []*Signer) ([]byte, error) {
	payload, err := json.Marshal(doc)
	if err == nil {
		err = checkNumbers(payload)
	}
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", t, err)
	}
	if len(signers) == 0 || len(signers) > MaxSignatures {
		return nil, fmt.Errorf("signing %s: %d keys, want 1 to %d", t, len(signers), MaxSignatures)
	}
	return attach(t, dsse.Envelope{PayloadType: t.payloadType(), Payload: base64.StdEncoding.EncodeToString(payload)}, payload, signers)
}

func attach(t docType, env dsse.Envelope, payload []byte, signers []*Signer) ([]byte, error) {
	for _, s := range signers {
		sig, err := s.sign(dsse.PAE(env.PayloadType, payload))
		if err != nil {
			return nil, fmt.Errorf("signing %s with key %s: %w", t, s.key.KeyID, err)
		}
		env.Signatures = append(env.Signatures, dsse.Signature{KeyID: s.key.KeyID, Sig: base64.StdEncoding.EncodeToString(sig)})
	}
	out, err := json.Marshal(env)
	if err == nil && len(out) > MaxEnvelope {
		err = fmt.Errorf("the envelope has %d bytes, agents take %d", len(out), MaxEnvelope)
	}
	if err == nil && len(env.Signatures) > MaxSignatures {
		err = fmt.Errorf("%d signatures, agents take %d", len(env.Signatures), MaxSignatures)
	}
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", t, err)
	}
	return out, nil
}

// Countersign adds signatures to a release, for a second party that has
// compiled the same commit and found the same digests.
func Countersign(envelope []byte, signers ...*Signer) ([]byte, error) {
	s, err := open(releaseType, envelope)
	if err != nil {
		return nil, err
	}
	return attach(releaseType, s.envelope, s.payload, signers)
}

// A sealed document is an envelope of the right type and size whose
// signatures nobody has looked at. Its payload must not be parsed yet.
type sealed struct {
	envelope dsse.Envelope
	payload  []byte
	message  []byte // what the signatures are over
}

// digest identifies the document whatever signatures it carries.
func (s *sealed) digest() artifact.Digest { return artifact.DigestOf(s.payload) }

// open does the first two steps of verification: size, and the exact form and
// type of the envelope.
func open(t docType, envelope []byte) (*sealed, error) {
	if len(envelope) > MaxEnvelope {
		return nil, t.refuse("too-large", "%d bytes, at most %d are read", len(envelope), MaxEnvelope)
	}
	s := &sealed{}
	if err := artifact.DecodeJSON(envelope, &s.envelope); err != nil {
		return nil, t.refuse("envelope", "not a DSSE envelope: %w", err)
	}
	if s.envelope.PayloadType != t.payloadType() {
		return nil, t.refuse("payload-type", "payload type is %.100q, want %q", s.envelope.PayloadType, t.payloadType())
	}
	if n := len(s.envelope.Signatures); n > MaxSignatures {
		return nil, t.refuse("too-large", "%d signatures, at most %d are read", n, MaxSignatures)
	}
	payload, err := decodeBase64(s.envelope.Payload)
	if err != nil {
		return nil, t.refuse("envelope", "payload: %w", err)
	}
	s.payload, s.message = payload, dsse.PAE(t.payloadType(), payload)
	return s, nil
}

// decodeBase64 accepts one spelling only. The dsse package also takes the URL
// alphabet, and encoding/base64 line breaks and stray bits.
func decodeBase64(text string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(data) != text {
		err = fmt.Errorf("not canonical base64")
	}
	return data, err
}

// signedBy returns the keys of the role that signed the document, each once.
// The key identifier of a signature only picks a key of the role; the key's
// own algorithm verifies.
func (s *sealed) signedBy(keys keyring, role Role) []Key {
	var out []Key
	counted := map[string]bool{}
	for _, sig := range s.envelope.Signatures {
		trusted, ok := keys.in(role, sig.KeyID)
		if !ok || counted[string(trusted.PublicKey)] {
			continue
		}
		raw, err := decodeBase64(sig.Sig)
		if err == nil && verify(trusted.public, s.message, raw) {
			counted[string(trusted.PublicKey)] = true
			out = append(out, trusted.Key)
		}
	}
	return out
}

// decode reads the payload of a document whose signatures are verified.
func (s *sealed) decode(t docType, into interface{ check() error }) error {
	if err := checkNumbers(s.payload); err != nil {
		return t.refuse("document", "%w", err)
	}
	if err := artifact.DecodeJSON(s.payload, into); err != nil {
		return t.refuse("document", "%w", err)
	}
	if err := into.check(); err != nil {
		return t.refuse("document", "%w", err)
	}
	return nil
}

// checkNumbers refuses numbers that JSON readers disagree about.
func checkNumbers(payload []byte) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if v, ok := token.(json.Number); ok {
			if n, err := v.Int64(); err != nil || n < 0 || n > maxInteger {
				return fmt.Errorf("%.40s is not an integer from 0 to 2^53-1", v)
			}
		}
	}
}
