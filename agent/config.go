package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/locality"
)

// Version is the agent's, told to the controller.
const Version = "0.1.0-dev"

// Config is an agent's own configuration: what no release can say, because it
// differs between the proxies of one workload.
type Config struct {
	Workload    string // namespace/name
	Instance    string // names this proxy among those of the workload
	Environment string // audience of releases
	Cluster     string
	// Locality is where the proxy is, "region/zone/subzone"; by default what policy,
	// or else the controller says.
	Locality string

	Controller     string // host:port; empty runs from what is stored
	ControllerName string // in its certificate; by default the host of Controller
	CA             string // host:port of who issues certificates; by default Controller
	CAName         string // in its certificate; by default the host of CA
	RootFile       string // root.dsse.json, trusted for where it is
	// TokenFile proves who the workload is where no certificate does: a one-time
	// join token, or a token that is written anew before it expires. It is read
	// whenever it is used.
	TokenFile string
	StateDir  string
	// CertificatesDir has a directory for each certificate of the gateways that the
	// workload serves, and for each CA of their clients; "" where it serves none.
	CertificatesDir string

	Envoy EnvoyConfig
	// Bind replaces the address of listeners by name; "" stands for all
	// others. Ports are the release's.
	Bind map[string]netip.Addr
	App  AppAddress

	StatusAddress string // host:port; empty serves no status
	Log           *slog.Logger

	// Deadline and Grace are those of xds.Options, for tests.
	Deadline, Grace time.Duration
	// CompareInterval is how often what Envoy runs is compared with the release;
	// 30 s where 0.
	CompareInterval time.Duration
}

// EnvoyConfig says which Envoy to run.
type EnvoyConfig struct {
	Path        string
	Args        []string
	Concurrency int
	LogLevel    string
	DrainTime   time.Duration
}

// AppAddress is where the application behind the proxy listens.
type AppAddress struct {
	IP    netip.Addr // 127.0.0.1 when not given
	Ports map[uint32]netip.AddrPort
}

// At returns the application's address for a port of the workload.
func (a AppAddress) At(port uint32) netip.AddrPort {
	if to, ok := a.Ports[port]; ok {
		return to
	}
	ip := a.IP
	if !ip.IsValid() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(ip, uint16(port))
}

// ParseAppAddress reads "IP" and "PORT=IP:PORT", each as often as needed.
func ParseAppAddress(values []string) (AppAddress, error) {
	out := AppAddress{Ports: map[uint32]netip.AddrPort{}}
	for _, v := range values {
		port, address, mapped := strings.Cut(v, "=")
		var err error
		if mapped {
			var n uint64
			if n, err = strconv.ParseUint(port, 10, 16); err == nil {
				out.Ports[uint32(n)], err = netip.ParseAddrPort(address)
			}
		} else {
			out.IP, err = netip.ParseAddr(v)
		}
		if err != nil {
			return AppAddress{}, fmt.Errorf("application address %q: want IP or PORT=IP:PORT", v)
		}
	}
	return out, nil
}

// ParseBind reads "IP" and "LISTENER=IP".
func ParseBind(values []string) (map[string]netip.Addr, error) {
	out := map[string]netip.Addr{}
	for _, v := range values {
		i := strings.LastIndexByte(v, '=')
		ip, err := netip.ParseAddr(v[i+1:])
		if err != nil {
			return nil, fmt.Errorf("bind address %q: want IP or LISTENER=IP", v)
		}
		out[v[:max(i, 0)]] = ip
	}
	return out, nil
}

func (c *Config) check() error {
	namespace, name, ok := strings.Cut(c.Workload, "/")
	if !ok || namespace == "" || name == "" {
		return fmt.Errorf("workload %q: want namespace/name", c.Workload)
	}
	if c.StateDir == "" || c.RootFile == "" || c.Envoy.Path == "" {
		return errors.New("a state directory, a root document and an envoy must be named")
	}
	dir, err := filepath.Abs(c.StateDir)
	if err != nil {
		return err
	}
	c.StateDir = dir
	if _, ok := locality.Parse(c.Locality); !ok {
		return fmt.Errorf("locality %q: want region/zone/subzone", c.Locality)
	}
	if c.Instance == "" {
		c.Instance = "0"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.CompareInterval == 0 {
		c.CompareInterval = 30 * time.Second
	}
	return c.checkServers()
}

// checkServers names the certificates of the controller and the CA.
func (c *Config) checkServers() error {
	if c.Controller == "" {
		if c.CA != "" {
			return fmt.Errorf("ca %q: without a controller there is nothing to prove to anybody", c.CA)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(c.Controller)
	if err != nil {
		return fmt.Errorf("controller %q: want host:port", c.Controller)
	}
	if c.ControllerName == "" {
		c.ControllerName = host
	}
	if c.CA == "" {
		c.CA = c.Controller
		if c.CAName == "" {
			c.CAName = c.ControllerName
		}
	}
	if host, _, err = net.SplitHostPort(c.CA); err != nil {
		return fmt.Errorf("ca %q: want host:port", c.CA)
	}
	if c.CAName == "" {
		c.CAName = host
	}
	return nil
}

// Sockets in the state directory.
func (c *Config) agentSocket() string { return filepath.Join(c.StateDir, "agent.sock") }
func (c *Config) adminSocket() string { return filepath.Join(c.StateDir, "admin.sock") }
