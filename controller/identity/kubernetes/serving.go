package kubernetes

import (
	"fmt"
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ParseServing reads who serves what: "namespace/serviceaccount=name,name" each, the
// names DNS names or addresses.
func ParseServing(entries []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, entry := range entries {
		account, names, ok := strings.Cut(entry, "=")
		namespace, name, slash := strings.Cut(account, "/")
		if !ok || !slash || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
			return nil, fmt.Errorf("%q: want NAMESPACE/SERVICEACCOUNT=NAME,NAME", entry)
		}
		if _, twice := out[account]; twice {
			return nil, fmt.Errorf("%q: %s is there twice", entry, account)
		}
		for _, n := range strings.Split(names, ",") {
			if err := CheckServerName(n); err != nil {
				return nil, fmt.Errorf("%q: %w", entry, err)
			}
			out[account] = append(out[account], n)
		}
	}
	return out, nil
}

// CheckServerName refuses what is neither a DNS name nor an address. Wildcards are
// refused too: a server of the control plane has a name.
func CheckServerName(name string) error {
	if net.ParseIP(name) == nil && len(validation.IsDNS1123Subdomain(name)) > 0 {
		return fmt.Errorf("%q is neither a DNS name nor an address", name)
	}
	return nil
}
