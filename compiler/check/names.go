package check

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// names finds services by what documents call them.
type names struct {
	domain string
	sites  []*site
	byKey  map[string]int // place in sites
	byHost map[string]int // lower case, full names and wildcards
}

// key finds "namespace/name", nil where nobody has it.
func (n *names) key(key string) *site { return n.at(n.byKey, key) }

// host finds a full name or a wildcard as it is.
func (n *names) host(host string) *site { return n.at(n.byHost, host) }

func (n *names) at(places map[string]int, name string) *site {
	if i, ok := places[name]; ok {
		return n.sites[i]
	}
	return nil
}

// find resolves a reference made in namespace, nil where nobody has the name.
func (n *names) find(ref mesh.Ref, namespace string) *site {
	if ref.Host == "" {
		s := n.key(refKey(ref, namespace))
		if s != nil && ref.External && s.external == nil {
			return nil // a service of the name is not the ExternalService that is meant
		}
		return s
	}
	host := strings.TrimSuffix(strings.ToLower(ref.Host), ".")
	if !strings.Contains(host, ".") {
		if s := n.key(namespace + "/" + host); s != nil && s.short {
			return s
		}
	}
	if s := n.host(host); s != nil {
		return s
	}
	return n.wildcard(host)
}

// service is find for a destination: a host that only routes name leads nowhere.
func (n *names) service(ref mesh.Ref, namespace string) *site {
	if s := n.find(ref, namespace); s != nil && !s.virtual {
		return s
	}
	return nil
}

// wildcard finds the longest "*." host over a name.
func (n *names) wildcard(host string) *site {
	for {
		dot := strings.IndexByte(host, '.')
		if dot < 0 {
			return nil
		}
		if s := n.host("*" + host[dot:]); s != nil {
			return s
		}
		host = host[dot+1:]
	}
}

func refKey(ref mesh.Ref, namespace string) string {
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return namespace + "/" + ref.Name
}

// place splits a host into the namespace and name that it would have in the
// cluster. External hosts keep their whole name in the namespace of reference.
func (n *names) place(ref mesh.Ref, namespace string) (ns, name string, local bool) {
	if ref.Host == "" {
		if ref.Namespace != "" {
			namespace = ref.Namespace
		}
		return namespace, ref.Name, true
	}
	host := strings.TrimSuffix(strings.ToLower(ref.Host), ".")
	trimmed, qualified := strings.CutSuffix(host, ".svc."+n.domain)
	if !qualified {
		trimmed, qualified = strings.CutSuffix(host, ".svc")
	}
	parts := strings.Split(trimmed, ".")
	switch {
	case strings.HasPrefix(host, "*"):
		return namespace, host, false
	case len(parts) == 1 && !qualified:
		return namespace, host, true
	case len(parts) == 2 && qualified:
		return parts[1], parts[0], true
	}
	return namespace, host, false
}

// clusterHosts are the names of a service that hold in every namespace.
func (n *names) clusterHosts(namespace, name string) []string {
	base := name + "." + namespace
	return []string{base, base + ".svc", base + ".svc." + n.domain}
}
