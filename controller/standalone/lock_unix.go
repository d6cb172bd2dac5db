//go:build unix

package standalone

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile holds a file's lock for this process, which the system gives up when
// the process ends, however it ends.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("another controller uses it: two would give out the same sequence numbers")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}

// checkOwner refuses a directory that another user may write to: whoever adds a
// join token there can be any workload.
func checkOwner(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if st.Mode&0o002 != 0 {
		return fmt.Errorf("mode %#o lets everyone write join tokens there: chmod 700", st.Mode&0o777)
	}
	if user := os.Geteuid(); int(st.Uid) != user && st.Uid != 0 {
		return fmt.Errorf("it belongs to user %d, who can write join tokens there; this is user %d", st.Uid, user)
	}
	return nil
}
