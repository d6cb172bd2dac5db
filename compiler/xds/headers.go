package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// headerChange is HeaderOps in Envoy's words, the host apart: Envoy refuses host
// among the headers to add, and rewrites it by a field of its own.
type headerChange struct {
	add    []*corev3.HeaderValueOption
	remove []string
	host   string
}

func headerOps(ops *mesh.HeaderOps) headerChange {
	var c headerChange
	if ops == nil {
		return c
	}
	c.put(ops.Set, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	c.put(ops.Add, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	c.remove = ops.Remove
	return c
}

func (c *headerChange) put(values []mesh.HeaderValue, action corev3.HeaderValueOption_HeaderAppendAction) {
	for _, v := range values {
		if isHost(v.Name) {
			c.host = v.Value
			continue
		}
		c.add = append(c.add, &corev3.HeaderValueOption{
			Header:         &corev3.HeaderValue{Key: v.Name, Value: literal(v.Value)},
			AppendAction:   action,
			KeepEmptyValue: true,
		})
	}
}

func isHost(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// literal escapes Envoy's header format: "%ENVIRONMENT(HOME)%" would leak.
func literal(value string) string { return strings.ReplaceAll(value, "%", "%%") }
