package standalone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	if err := readJSON(file, &l.last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the sequence number: %w", err)
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
	if err := replaceFile(l.file, data, 0o600); err != nil {
		return 0, fmt.Errorf("writing down sequence number %d: %w", next.Sequence, err)
	}
	l.last = next
	return next.Sequence, nil
}

// facts are what goes with the stored release and is not in it.
type facts struct {
	Version   int               `json:"version"`
	Workloads map[string]string `json:"workloads"` // name to identity
}

func readJSON(file string, v any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// replaceFile writes a file whole or not at all, and durably.
func replaceFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
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
