package store

import (
	"os"
	"testing"
)

// TestDirectoryOfAnotherUser: a local user makes the directory before the agent
// does, with the right mode.
func TestDirectoryOfAnotherUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Skipf("no other user here: %v", err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	if owner == 0 {
		owner = 65534
	}
	if err := private(info, owner+1); err == nil {
		t.Error("a directory of another user is taken")
	}
	if err := private(info, owner); err != nil {
		t.Errorf("the agent's own directory: %v", err)
	}
}
