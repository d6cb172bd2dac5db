package kubetest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func setUpHosts() error {
	if err := os.WriteFile(hostsFile(), []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(hostsFile(), "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting a hosts file: %w", err)
	}
	return nil
}
