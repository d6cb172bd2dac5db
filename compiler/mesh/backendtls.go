package mesh

import "github.com/mesh-compile/mesh-compile/compiler/source"

// BackendTLS says that callers of services speak TLS to them: BackendTLSPolicy of the
// Gateway API.
type BackendTLS struct {
	Origin
	Targets []BackendTarget // of the policy's namespace
	// TLS has mode simple; its CACerts are those of Roots.
	TLS ClientTLS
	// Roots are ConfigMaps of the policy's namespace; none: the public roots.
	Roots []Ref
}

// BackendTarget is a service, or one port of it.
type BackendTarget struct {
	Service Ref
	Port    string // its name; "": every port that has no policy of its own
	PortAt  source.Span
}

// ConfigMap is one with certificates of a CA, as PEM, under the key ca.crt.
type ConfigMap struct {
	Origin
	CA   string
	Span source.Span // of the certificates
}
