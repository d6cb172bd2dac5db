package envoy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read from the admin interface.
const maxAnswer = 64 << 20

// An Admin is Envoy's admin interface on its Unix socket.
type Admin struct {
	socket string
	client http.Client
}

// NewAdmin returns the admin interface at socket.
func NewAdmin(socket string) *Admin {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Admin{socket: socket, client: http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1},
	}}
}

// Alive reports whether a process listens. The kernel answers this, also for
// an Envoy that is busy or hangs.
func (a *Admin) Alive() bool {
	conn, err := net.DialTimeout("unix", a.socket, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Get asks for a page.
func (a *Admin) Get(ctx context.Context, path string) ([]byte, error) {
	return a.ask(ctx, http.MethodGet, path)
}

// Post does what the path says.
func (a *Admin) Post(ctx context.Context, path string) error {
	_, err := a.ask(ctx, http.MethodPost, path)
	return err
}

func (a *Admin) ask(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking envoy's admin: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("asking envoy's admin for %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking envoy's admin for %s: %s: %.200s", path, response.Status, bytes.TrimSpace(body))
	}
	return body, nil
}

// Warming returns how many clusters and listeners are not warm. A listener
// manager that has yet to get its first listeners counts as one.
func (a *Admin) Warming(ctx context.Context) (clusters, listeners int, err error) {
	const (
		warmClusters  = "cluster_manager.warming_clusters"
		warmListeners = "listener_manager.total_listeners_warming"
	)
	page, err := a.Get(ctx, "/stats?filter=^(cluster_manager.warming_clusters|listener_manager.total_listeners_warming)$")
	if err != nil {
		return 0, 0, err
	}
	found := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(page)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		if n, err := strconv.Atoi(value); err == nil {
			found[name] = n
		}
	}
	if len(found) != 2 {
		return 0, 0, fmt.Errorf("asking envoy's admin for warming: got %.200q", page)
	}
	return found[warmClusters], found[warmListeners], nil
}

// Info is what a running Envoy says about itself.
type Info struct {
	Version string // "1.40.0"
	State   string // "LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"
}

// Info asks the running Envoy.
func (a *Admin) Info(ctx context.Context) (Info, error) {
	page, err := a.Get(ctx, "/server_info")
	if err != nil {
		return Info{}, err
	}
	var info struct{ Version, State string }
	if err := json.Unmarshal(page, &info); err != nil {
		return Info{}, fmt.Errorf("asking envoy's admin for /server_info: %w", err)
	}
	version, err := parseVersion(info.Version)
	return Info{Version: version, State: info.State}, err
}

// parseVersion finds the number in "c0ffee/1.40.0/Clean/RELEASE/BoringSSL".
func parseVersion(text string) (string, error) {
	fields := strings.Split(text, "/")
	if len(fields) < 2 || strings.Count(fields[1], ".") != 2 {
		return "", fmt.Errorf("reading envoy's version: %.100q is not commit/1.40.0/build", text)
	}
	return fields[1], nil
}
