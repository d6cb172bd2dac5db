package artifact

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// A DiscoveredService is a service whose endpoints are live facts: what one has
// to know of it to find them, without the model.
type DiscoveredService struct {
	Namespace string              `json:"namespace"`
	Name      string              `json:"name"`
	Clusters  []DiscoveredCluster `json:"clusters"`
}

// Key is "namespace/name".
func (s *DiscoveredService) Key() string { return s.Namespace + "/" + s.Name }

// A DiscoveredCluster is an EDS cluster of a service: one port, and all of its
// endpoints or those of a version.
type DiscoveredCluster struct {
	Name string `json:"name"`
	// PortName is the service's name of the port, under which EndpointSlices have
	// it. Targets are the ports on which the workloads listen.
	PortName string   `json:"portName,omitempty"`
	Targets  []uint32 `json:"targets"`
	// Selector are labels that a pod of the cluster carries; empty: all pods.
	Selector map[string]string `json:"selector,omitempty"`
	// Written endpoints stand in the policies, and are there besides others.
	Written []WrittenEndpoint `json:"written,omitempty"`
}

// A WrittenEndpoint is an IP address or a DNS name with its port.
type WrittenEndpoint struct {
	Host     string `json:"host"`
	Port     uint32 `json:"port"`
	Locality string `json:"locality,omitempty"` // region/zone/subzone
	Weight   uint32 `json:"weight,omitempty"`   // 0: 1
}

// Encode returns the service's part of the blob, to be given to
// [EncodeDiscovery]; the order of its lists does not matter.
func (s DiscoveredService) Encode() ([]byte, error) {
	s.Clusters = slices.Clone(s.Clusters)
	slices.SortFunc(s.Clusters, func(a, b DiscoveredCluster) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.Clusters {
		c := &s.Clusters[i]
		c.Targets, c.Written = sortedSet(c.Targets), slices.Clone(c.Written)
		slices.SortFunc(c.Written, WrittenEndpoint.compare)
		c.Written = slices.Compact(c.Written)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	return json.Marshal(s)
}

func (e WrittenEndpoint) compare(o WrittenEndpoint) int {
	return cmp.Or(cmp.Compare(e.Host, o.Host), cmp.Compare(e.Port, o.Port),
		cmp.Compare(e.Locality, o.Locality), cmp.Compare(e.Weight, o.Weight))
}

const (
	discoveryHead = "{\"version\":1,\"services\":["
	discoveryTail = "]}\n"
)

// EncodeDiscovery joins encoded services, which are in the order of namespace
// and name. They are joined as they are, so that a service that did not change is
// not encoded again.
func EncodeDiscovery(services [][]byte) []byte {
	size := len(discoveryHead) + len(discoveryTail)
	for _, s := range services {
		size += len(s) + 2
	}
	out := append(make([]byte, 0, size), discoveryHead...)
	for i, s := range services {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, '\n'), s...)
	}
	return append(out, discoveryTail...)
}

// DecodeDiscovery reads the blob named [Discovery]. Services come in the order of
// namespace and name, no cluster is there twice.
func DecodeDiscovery(data []byte) ([]DiscoveredService, error) {
	var d struct {
		Version  int                 `json:"version"`
		Services []DiscoveredService `json:"services"`
	}
	if len(data) > maxBlobBytes {
		return nil, fmt.Errorf("reading discovery: %d bytes, at most %d are read", len(data), maxBlobBytes)
	}
	if err := DecodeJSON(data, &d); err != nil {
		return nil, fmt.Errorf("reading discovery: %w", err)
	}
	if d.Version != 1 {
		return nil, fmt.Errorf("reading discovery: version %d, this program knows 1", d.Version)
	}
	if err := checkServices(d.Services); err != nil {
		return nil, fmt.Errorf("reading discovery: %w", err)
	}
	return d.Services, nil
}

func checkServices(services []DiscoveredService) error {
	if len(services) > maxEntries {
		return fmt.Errorf("more than %d services", maxEntries)
	}
	clusters := map[string]bool{}
	for i := range services {
		s := &services[i]
		if i > 0 && services[i-1].compare(s) >= 0 {
			return fmt.Errorf("service %s is there twice or out of order", s.Key())
		}
		if err := s.check(); err != nil {
			return err
		}
		for _, c := range s.Clusters {
			if clusters[c.Name] {
				return fmt.Errorf("cluster %q is of two services", c.Name)
			}
			clusters[c.Name] = true
		}
	}
	return nil
}

func (s *DiscoveredService) compare(o *DiscoveredService) int {
	return cmp.Or(cmp.Compare(s.Namespace, o.Namespace), cmp.Compare(s.Name, o.Name))
}

func (s *DiscoveredService) check() error {
	if s.Namespace == "" || s.Name == "" || !printable(s.Namespace) || !printable(s.Name) {
		return fmt.Errorf("service %.200q: want namespace/name", s.Key())
	}
	if len(s.Clusters) == 0 || len(s.Clusters) > maxEntries {
		return fmt.Errorf("service %s: %d clusters, want 1 to %d", s.Key(), len(s.Clusters), maxEntries)
	}
	for i := range s.Clusters {
		if i > 0 && s.Clusters[i-1].Name >= s.Clusters[i].Name {
			return fmt.Errorf("service %s: cluster %q is there twice or out of order", s.Key(), s.Clusters[i].Name)
		}
		if err := s.Clusters[i].check(); err != nil {
			return fmt.Errorf("service %s: cluster %.200q: %w", s.Key(), s.Clusters[i].Name, err)
		}
	}
	return nil
}

func (c *DiscoveredCluster) check() error {
	switch {
	case c.Name == "" || !printable(c.Name) || !printable(c.PortName):
		return fmt.Errorf("its name, or that of its port %.100q, is none", c.PortName)
	case len(c.Targets) == 0 || len(c.Targets)+len(c.Written) > maxEntries:
		return fmt.Errorf("%d target ports and %d endpoints, want a port and at most %d", len(c.Targets), len(c.Written), maxEntries)
	case len(c.Selector) > maxLabels:
		return fmt.Errorf("a selector of %d labels, at most %d are read", len(c.Selector), maxLabels)
	}
	for k, v := range c.Selector {
		if k == "" || !printable(k) || !printable(v) {
			return fmt.Errorf("label %.100q of its selector is none", k)
		}
	}
	for i, port := range c.Targets {
		if port == 0 || port > 65535 || i > 0 && c.Targets[i-1] >= port {
			return fmt.Errorf("%d is not a port, or out of order", port)
		}
	}
	for i, e := range c.Written {
		if e.Host == "" || !printable(e.Host) || !printable(e.Locality) || e.Port == 0 || e.Port > 65535 {
			return fmt.Errorf("endpoint %.100q at port %d: want an address or a name, and a port", e.Host, e.Port)
		}
		if i > 0 && c.Written[i-1].compare(e) >= 0 {
			return fmt.Errorf("endpoint %q is there twice or out of order", e.Host)
		}
	}
	return nil
}

// maxLabels bounds the labels of one selector.
const maxLabels = 64
