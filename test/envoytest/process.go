package envoytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Options say how to start an Envoy.
type Options struct {
	Bootstrap   []byte        // JSON; without an admin address it gets one on a Unix socket
	Dir         string        // where bootstrap.json and admin.sock go; by default a directory that Stop removes
	Concurrency int           // worker threads; 1 by default
	DrainTime   time.Duration // how long old listeners drain; 1 s by default
	LogLevel    string        // warning by default
	Args        []string      // further arguments
}

// Envoy is a running Envoy.
type Envoy struct {
	cmd    *exec.Cmd
	log    tail
	client http.Client // dials the admin address, whatever the URL's host
	exited chan struct{}
	status error // of the process; read it after exited is closed
	temp   string
}

// Start starts Envoy and returns without waiting for it to be ready. Envoy lives until Stop, Kill,
// or the end of ctx.
func Start(ctx context.Context, o Options) (*Envoy, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	e := &Envoy{exited: make(chan struct{})}
	if o.Dir == "" {
		// Not a test's own temporary directory: a Unix socket's path has at most 107 bytes.
		if e.temp, err = os.MkdirTemp("", "envoy-"); err != nil {
			return nil, err
		}
		o.Dir = e.temp
	}
	if err := e.start(ctx, path, o); err != nil {
		os.RemoveAll(e.temp)
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	return e, nil
}

func (e *Envoy) start(ctx context.Context, path string, o Options) error {
	bootstrap, admin, err := withAdmin(o.Bootstrap, filepath.Join(o.Dir, "admin.sock"))
	if err != nil {
		return err
	}
	e.client = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, admin.Network(), admin.String())
		},
	}}
	file := filepath.Join(o.Dir, "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return err
	}
	e.cmd = exec.CommandContext(ctx, path, o.args(file)...)
	e.cmd.Stdout, e.cmd.Stderr = &e.log, &e.log
	e.cmd.SysProcAttr = dieWithParent()
	if err := e.cmd.Start(); err != nil {
		return err
	}
	go func() {
		e.status = e.cmd.Wait()
		close(e.exited)
	}()
	return nil
}

func (o Options) args(file string) []string {
	concurrency, drain, level := o.Concurrency, o.DrainTime, o.LogLevel
	if concurrency == 0 {
		concurrency = 1
	}
	if drain == 0 {
		drain = time.Second
	}
	if level == "" {
		level = "warning"
	}
	// Without hot restart, Envoys on one machine share no memory and need no base id.
	return append([]string{
		"--config-path", file, "--disable-hot-restart",
		"--concurrency", strconv.Itoa(concurrency),
		"--drain-time-s", strconv.Itoa(int(drain.Seconds())),
		"--log-level", level,
	}, o.Args...)
}

// withAdmin returns the bootstrap with an admin address, and that address.
func withAdmin(bootstrap []byte, socket string) ([]byte, net.Addr, error) {
	var parsed map[string]json.RawMessage
	if err := json.Unmarshal(bootstrap, &parsed); err != nil {
		return nil, nil, fmt.Errorf("reading the bootstrap as JSON: %w", err)
	}
	if admin, ok := parsed["admin"]; ok {
		address, err := adminAddress(admin)
		return bootstrap, address, err
	}
	admin := map[string]any{"address": map[string]any{"pipe": map[string]any{"path": socket}}}
	parsed["admin"], _ = json.Marshal(admin)
	bootstrap, err := json.Marshal(parsed)
	return bootstrap, &net.UnixAddr{Name: socket, Net: "unix"}, err
}

// adminAddress reads the address in either of protobuf's JSON spellings.
func adminAddress(admin []byte) (net.Addr, error) {
	type socket struct {
		Address    string
		PortValue  int `json:"portValue"`
		Port_Value int `json:"port_value"`
	}
	var a struct {
		Address struct {
			Pipe           struct{ Path string }
			SocketAddress  socket `json:"socketAddress"`
			Socket_Address socket `json:"socket_address"`
		}
	}
	if err := json.Unmarshal(admin, &a); err != nil {
		return nil, fmt.Errorf("reading the bootstrap's admin address: %w", err)
	}
	if path := a.Address.Pipe.Path; path != "" {
		return &net.UnixAddr{Name: path, Net: "unix"}, nil
	}
	for _, s := range []socket{a.Address.SocketAddress, a.Address.Socket_Address} {
		if port := max(s.PortValue, s.Port_Value); port != 0 {
			return &net.TCPAddr{IP: net.ParseIP(s.Address), Port: port}, nil
		}
	}
	return nil, errors.New("reading the bootstrap's admin address: neither a pipe nor a socket with a port")
}

// WaitReady waits until Envoy is LIVE: static and first dynamic resources are in and warm. An Envoy
// that exits is an error with the end of its log.
func (e *Envoy) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-e.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := Until(ctx, func() error {
		_, err := e.Admin("/ready")
		return err
	})
	switch {
	case err == nil:
		return nil
	case !e.Running():
		return fmt.Errorf("waiting for envoy to be ready: it ended: %v\n%s", e.status, e.Log())
	default:
		return fmt.Errorf("waiting for envoy to be ready: %w\n%s", err, e.Log())
	}
}

// Running says whether the process is alive.
func (e *Envoy) Running() bool {
	select {
	case <-e.exited:
		return false
	default:
		return true
	}
}

// Pid is the process's id.
func (e *Envoy) Pid() int { return e.cmd.Process.Pid }

// Log returns the end of what Envoy wrote, at most a megabyte.
func (e *Envoy) Log() string { return e.log.String() }

// Stop ends Envoy politely, kills it if that takes longer than five seconds, and removes what Start
// made. A second Stop does nothing.
func (e *Envoy) Stop() {
	e.client.CloseIdleConnections()
	e.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // the process may be gone
	select {
	case <-e.exited:
	case <-time.After(5 * time.Second):
	}
	e.Kill()
}

// Kill ends Envoy as kill -9 does, and removes what Start made.
func (e *Envoy) Kill() {
	e.cmd.Process.Kill() //nolint:errcheck // the process may be gone
	<-e.exited
	if e.temp != "" {
		os.RemoveAll(e.temp)
	}
}

// Run starts Envoy for a test, waits until it is ready, and stops it when the test ends. A failed
// test gets Envoy's log.
func Run(t T, o Options) *Envoy {
	t.Helper()
	Require(t)
	// Not t.Context(): that ends before the cleanups, and a polite end needs Envoy alive.
	e, err := Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Stop()
		if t.Failed() {
			t.Logf("envoy's log:\n%s", e.Log())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := e.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}
