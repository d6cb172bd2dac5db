package sign

import (
	"errors"
	"fmt"
)

// A Code names one reason to refuse, in metrics, status and tests. Codes never
// change their meaning.
type Code string

// The codes, in the order in which verification can meet them.
const (
	RootTooLarge    Code = "root-too-large"
	RootEnvelope    Code = "root-envelope"     // not a DSSE envelope
	RootPayloadType Code = "root-payload-type" // another kind of document
	RootSignature   Code = "root-signature"    // under the threshold of the old or the new root
	RootDocument    Code = "root-document"     // signed, but not a root document
	RootMesh        Code = "root-mesh"         // another mesh or trust domain
	RootVersion     Code = "root-version"      // not the next version, or older than one known
	RootFloor       Code = "root-floor"        // lowers the epoch or the sequence floor
	RootExpired     Code = "root-expired"

	ReleaseTooLarge    Code = "release-too-large"
	ReleaseEnvelope    Code = "release-envelope"
	ReleasePayloadType Code = "release-payload-type"
	ReleaseSignature   Code = "release-signature"
	ReleaseDocument    Code = "release-document"
	ReleaseMesh        Code = "release-mesh"
	ReleaseAudience    Code = "release-audience"    // for another environment or cluster
	ReleaseEpoch       Code = "release-epoch"       // not of the root's epoch
	ReleaseFloor       Code = "release-floor"       // below the root's sequence floor
	ReleaseRollback    Code = "release-rollback"    // older than the high-water mark
	ReleaseEquivocates Code = "release-equivocates" // same sequence, other content
	ReleasePrevious    Code = "release-previous"    // does not follow the release known
	ReleaseNotYetValid Code = "release-not-yet-valid"
	ReleaseExpired     Code = "release-expired"
	ReleaseValidity    Code = "release-validity" // valid for longer than the root allows

	FreshnessMissing     Code = "freshness-missing"
	FreshnessTooLarge    Code = "freshness-too-large"
	FreshnessEnvelope    Code = "freshness-envelope"
	FreshnessPayloadType Code = "freshness-payload-type"
	FreshnessSignature   Code = "freshness-signature"
	FreshnessDocument    Code = "freshness-document"
	FreshnessMesh        Code = "freshness-mesh"
	FreshnessAudience    Code = "freshness-audience"
	FreshnessEpoch       Code = "freshness-epoch"
	FreshnessRoot        Code = "freshness-root"     // names a root that is not known yet
	FreshnessRollback    Code = "freshness-rollback" // an older counter
	FreshnessNotYetValid Code = "freshness-not-yet-valid"
	FreshnessExpired     Code = "freshness-expired"
	FreshnessValidity    Code = "freshness-validity"
	FreshnessSuperseded  Code = "freshness-superseded" // the release is not the current one

	ReleaseWrongLeaf     Code = "release-wrong-leaf" // another workload's
	ReleaseProof         Code = "release-proof"      // not in the signed tree
	ReleaseContent       Code = "release-content"    // manifest or tree are not the signed ones
	ReleaseBlobMissing   Code = "release-blob-missing"
	ReleaseDigest        Code = "release-digest" // a blob's bytes are not those of its digest
	ReleaseBlobSize      Code = "release-blob-size"
	ReleaseBlobMalformed Code = "release-blob-malformed"
)

// An Error refuses a document or what a document names.
type Error struct {
	Code Code
	Err  error
}

// Error implements error. The code comes last, as in diagnostics.
func (e *Error) Error() string { return fmt.Sprintf("%v [%s]", e.Err, e.Code) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [*Error] in err's chain, and "" when
// there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// A docType is a kind of signed document.
type docType string

const (
	rootType      docType = "root"
	releaseType   docType = "release"
	freshnessType docType = "freshness"
)

// payloadType returns the DSSE payload type, which is part of what is signed.
func (t docType) payloadType() string {
	return "application/vnd.mesh-compile." + string(t) + ".v1+json"
}

// refuse is like the function, for faults that every kind of document has.
func (t docType) refuse(fault, format string, args ...any) error {
	return refuse(Code(string(t)+"-"+fault), "verifying "+string(t)+": "+format, args...)
}
