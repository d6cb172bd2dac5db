package kubernetes

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// protocols by appProtocol or by the part of a port's name before the first
// hyphen, case-insensitive, as Istio selects them
// (istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection),
// and the IANA names of common protocols over TCP.
var protocols = map[string]mesh.Protocol{
	"http":  mesh.HTTP,
	"http2": mesh.HTTP2,
	"h2c":   mesh.HTTP2,
	"grpc":  mesh.GRPC,
	"tcp":   mesh.TCP,
	"tls":   mesh.TLS,
	"https": mesh.TLS,
	"wss":   mesh.TLS,
	"ws":    mesh.HTTP,

	"amqp":       mesh.TCP,
	"amqps":      mesh.TCP,
	"cassandra":  mesh.TCP,
	"dns":        mesh.TCP,
	"kafka":      mesh.TCP,
	"ldap":       mesh.TCP,
	"ldaps":      mesh.TCP,
	"memcache":   mesh.TCP,
	"memcached":  mesh.TCP,
	"mongo":      mesh.TCP,
	"mongodb":    mesh.TCP,
	"mqtt":       mesh.TCP,
	"mssql":      mesh.TCP,
	"mysql":      mesh.TCP,
	"nats":       mesh.TCP,
	"postgres":   mesh.TCP,
	"postgresql": mesh.TCP,
	"redis":      mesh.TCP,
	"smtp":       mesh.TCP,
	"ssh":        mesh.TCP,
	"zookeeper":  mesh.TCP,

	// Names that Kubernetes defines for appProtocol.
	"kubernetes.io/h2c": mesh.HTTP2,
	"kubernetes.io/ws":  mesh.HTTP,
	"kubernetes.io/wss": mesh.TLS,
}

// tcpPorts are registered for protocols over TCP that are not HTTP. The first
// four are Istio's; their servers speak first, so that a proxy that waits for a
// request would stall them.
var tcpPorts = map[uint32]string{
	25:    "SMTP",
	53:    "DNS",
	3306:  "MySQL",
	27017: "MongoDB",

	22:    "SSH",
	389:   "LDAP",
	636:   "LDAP over TLS",
	1433:  "SQL Server",
	2181:  "ZooKeeper",
	4222:  "NATS",
	5432:  "PostgreSQL",
	5671:  "AMQP over TLS",
	5672:  "AMQP",
	6379:  "Redis",
	9042:  "Cassandra",
	9092:  "Kafka",
	11211: "memcached",
}

// protocol of a service port: appProtocol, else the prefix of its name, else the
// registered use of its number, else HTTP.
//
// Istio sniffs where nothing is declared. We do not: the client's first bytes
// would then choose between the rules for requests and those for connections.
// HTTP is the guess that fails closed: what is not HTTP gets 400 from the proxy,
// and no rule about requests is passed over.
func (r *reader) protocol(n *load.Node, number uint32) mesh.Protocol {
	declared, name := r.str(n, "appProtocol"), r.str(n, "name")
	if p, ok := r.named(n, declared); ok {
		return p
	}
	if declared == "" {
		if p, ok := r.named(n, name); ok {
			return p
		}
	}
	if use, ok := tcpPorts[number]; ok {
		r.undeclared(n, number, "tcp", "the usual port of "+use)
		return mesh.TCP
	}
	why := "it has neither appProtocol nor a name that says one"
	switch {
	case declared != "":
		why = "appProtocol " + declared + " is not one that we know"
	case name != "":
		why = "it has no appProtocol, and its name " + name + " says none"
	}
	r.undeclared(n, number, "http", why)
	return mesh.HTTP
}

// named finds the protocol that an appProtocol or port name says.
func (r *reader) named(n *load.Node, name string) (mesh.Protocol, bool) {
	name = strings.ToLower(name)
	if prefix, rest, _ := strings.Cut(name, "-"); prefix == "grpc" && (rest == "web" || strings.HasPrefix(rest, "web-")) {
		r.Add(translate.CodeUnsupported, diag.Warning, n.Nearest("name"),
			"gRPC-Web is not translated to gRPC: the port carries it as HTTP, and the server must understand it")
		return mesh.HTTP, true
	}
	if p, ok := protocols[name]; ok {
		return p, true
	}
	prefix, _, _ := strings.Cut(name, "-")
	p, ok := protocols[prefix]
	return p, ok
}

func (r *reader) undeclared(n *load.Node, number uint32, protocol, why string) {
	d := r.Add(translate.CodeProtocol, diag.Info, n.Span, "port %d is taken as %s: %s", number, protocol, why)
	d.Fix = &diag.Fix{Message: "declare it: appProtocol: http (or http2, grpc, tcp, tls)"}
}
