package kubetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// hostsFile is mounted over /etc/hosts: the cluster's DNS.
func hostsFile() string { return filepath.Join(os.TempDir(), "hosts") }

var hosts struct {
	sync.Mutex
	addresses map[string]string
}

// Host lets every program in the namespace find a name at an address, as cluster DNS does for
// services. Another address for the same name replaces the first.
func Host(t T, name, address string) {
	t.Helper()
	hosts.Lock()
	defer hosts.Unlock()
	if hosts.addresses == nil {
		hosts.addresses = map[string]string{}
	}
	hosts.addresses[name] = address
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for name, address := range hosts.addresses {
		fmt.Fprintf(&b, "%s %s\n", address, name)
	}
	// In place: a new file would not be the one that is mounted.
	if err := os.WriteFile(hostsFile(), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
