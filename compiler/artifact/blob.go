package artifact

import "fmt"

// maxBlobBytes bounds one blob, here and at every reader.
const maxBlobBytes = 64 << 20

// A Blob is bytes with their digest: what many leaves name is hashed once. Keep
// it as long as its content is unchanged.
type Blob struct {
	digest Digest
	data   []byte
}

// NewBlob returns the blob of data, which must not be changed afterwards.
func NewBlob(data []byte) Blob { return Blob{DigestOf(data), data} }

// Digest returns the digest of the content.
func (b Blob) Digest() Digest { return b.digest }

// Bytes returns the content, which must not be changed.
func (b Blob) Bytes() []byte { return b.data }

// A BlobReason says what is wrong with a blob.
type BlobReason string

// The reasons of a [BlobError].
const (
	BlobMissing   BlobReason = "missing"
	BlobDigest    BlobReason = "digest"    // the bytes are not those of the digest
	BlobSize      BlobReason = "size"      // over the limit, or not what its list says
	BlobMalformed BlobReason = "malformed" // a structural blob that does not parse
)

// A BlobError is a fault of one blob.
type BlobError struct {
	Digest Digest
	Reason BlobReason
	Err    error // what was seen; may be nil
}

// Error implements error.
func (e *BlobError) Error() string {
	msg := fmt.Sprintf("blob %s: %s", e.Digest, e.Reason)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns the cause.
func (e *BlobError) Unwrap() error { return e.Err }
