package drift

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/xds"
)

// A kind is one repeated field of Envoy's /config_dump.
type kind struct {
	word, typeURL string
	field         string // of the dump
	mask          string // what names and versions take
	// asked: Envoy asks for what it needs, so nothing can be missing.
	asked   bool
	want    func(Want) []xds.Resource
	message func() proto.Message // nil: content is not compared
}

var kinds = []kind{
	{
		word: "listener", typeURL: xds.ListenerType, field: "dynamic_listeners", mask: "name,active_state.version_info",
		want: func(w Want) []xds.Resource { return w.Listeners }, message: func() proto.Message { return &listenerv3.Listener{} },
	},
	{word: "static listener", field: "static_listeners", mask: "listener.name", want: none},
	{
		word: "route configuration", typeURL: xds.RouteType, field: "dynamic_route_configs", mask: "version_info,route_config.name", asked: true,
		want: func(w Want) []xds.Resource { return w.Routes }, message: func() proto.Message { return &routev3.RouteConfiguration{} },
	},
	{
		word: "cluster", typeURL: xds.ClusterType, field: "dynamic_active_clusters", mask: "version_info,cluster.name",
		want: func(w Want) []xds.Resource { return w.Clusters }, message: func() proto.Message { return &clusterv3.Cluster{} },
	},
	// Envoy blanks the key in its answer, and the version is the digest of the
	// secret: the masked page is all that is asked for.
	{word: "secret", typeURL: xds.SecretType, field: "dynamic_active_secrets", mask: "name,version_info", asked: true, want: secrets},
}

func none(Want) []xds.Resource { return nil }

func secrets(w Want) (out []xds.Resource) {
	for _, name := range sorted(w.Secrets) {
		out = append(out, xds.Resource{Name: name, Version: w.Secrets[name]})
	}
	return out
}

// running is one resource as Envoy says it.
type running struct {
	version string
	body    json.RawMessage
	whole   bool // body is all of it, and not the name alone
}

// entry is an element of any of the fields: envoy.admin.v3, ListenersConfigDump,
// RoutesConfigDump, ClustersConfigDump, SecretsConfigDump.
type entry struct {
	Name    string `json:"name"`
	Version string `json:"version_info"`
	// Active is missing while a listener warms for the first time or was refused.
	Active *struct {
		Version  string          `json:"version_info"`
		Listener json.RawMessage `json:"listener"`
	} `json:"active_state"`
	Listener json.RawMessage `json:"listener"` // static
	Cluster  json.RawMessage `json:"cluster"`
	Route    json.RawMessage `json:"route_config"`
}

// dump asks Envoy for its resources of a kind, by name.
func (c *Checker) dump(ctx context.Context, k kind, contents bool) (map[string]running, error) {
	query := url.Values{"resource": {k.field}}
	whole := contents && k.message != nil
	if !whole {
		query.Set("mask", k.mask)
	}
	page, err := c.get(ctx, "/config_dump?"+query.Encode())
	if err != nil {
		return nil, err
	}
	var answer struct{ Configs []entry }
	if err := json.Unmarshal(page, &answer); err != nil {
		return nil, fmt.Errorf("reading envoy's %s: %w", k.field, err)
	}
	out := map[string]running{}
	for _, e := range answer.Configs {
		name, r, ok := e.read()
		if ok {
			r.whole = whole
			out[name] = r
		}
	}
	return out, nil
}

func (e entry) read() (string, running, bool) {
	r := running{version: e.Version}
	switch {
	case e.Active != nil:
		return e.Name, running{version: e.Active.Version, body: e.Active.Listener}, true
	case e.Cluster != nil:
		r.body = e.Cluster
	case e.Route != nil:
		r.body = e.Route
	case e.Listener != nil:
		r.body = e.Listener
	default: // a secret; a listener without an active state is not running
		return e.Name, r, e.Version != ""
	}
	var named struct{ Name string }
	if json.Unmarshal(r.body, &named) != nil {
		return "", r, false
	}
	return named.Name, r, true
}

// stopped counts the listeners that were told to stop taking connections, which
// nothing but the admin interface's /drain_listeners does.
func (c *Checker) stopped(ctx context.Context) ([]string, error) {
	page, err := c.get(ctx, "/stats?filter=^listener_manager.listener_stopped$")
	if err != nil {
		return nil, err
	}
	_, value, _ := strings.Cut(string(bytes.TrimSpace(page)), ": ")
	n, err := strconv.Atoi(value)
	if err != nil {
		return nil, fmt.Errorf("asking envoy for stopped listeners: got %.100q", page)
	}
	if n == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("listeners were stopped by the admin interface (%d by worker): restart envoy", n)}, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
