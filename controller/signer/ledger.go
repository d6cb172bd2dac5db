package signer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mesh-compile/mesh-compile/compiler/durable"
)

// maxSequence is the largest integer of a signed document.
const maxSequence = 1<<53 - 1

// ledger is the sequence numbers that were given out. One is written down before
// it is signed, so that no two releases ever have the same.
type ledger struct {
	file string
	last ledgerState
}

type ledgerState struct {
	Version  int    `json:"version"`
	Epoch    uint64 `json:"epoch"` // of the root: numbers begin again in a new one
	Sequence uint64 `json:"sequence"`
}

// openLedger reads the ledger. A file that does not read is an error and not a
// new ledger: numbers would be given out again.
func openLedger(file string, epoch, floor uint64) (*ledger, error) {
	l := &ledger{file: file}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &l.last)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the sequence number in %s: %w", file, err)
	}
	if l.last.Epoch > epoch {
		return nil, fmt.Errorf("%s is of sequence epoch %d, the root document of %d: is it an old one?", file, l.last.Epoch, epoch)
	}
	if l.last.Epoch < epoch {
		l.last.Sequence = 0
	}
	l.last.Version, l.last.Epoch = 1, epoch
	if floor > 0 {
		l.last.Sequence = max(l.last.Sequence, floor-1)
	}
	return l, nil
}

// next gives out a number above all that were, and above seen.
func (l *ledger) next(seen uint64) (uint64, error) {
	next := l.last
	next.Sequence = max(l.last.Sequence, seen) + 1
	if next.Sequence > maxSequence {
		return 0, fmt.Errorf("sequence number %d is used: raise sequenceEpoch in the root document", next.Sequence-1)
	}
	data, err := json.Marshal(next)
	if err != nil {
		return 0, err
	}
	if err := durable.ReplaceFile(l.file, data, 0o600); err != nil {
		return 0, fmt.Errorf("writing down sequence number %d: %w", next.Sequence, err)
	}
	l.last = next
	return next.Sequence, nil
}
