package drift

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/xds"
)

// tree is decoded JSON.
type tree any

// plain returns a message as JSON with the names of the protocol. What Envoy
// prints goes through the same library before it is compared: two writers of
// JSON agree on the meaning of a number and not on its digits.
func plain(m proto.Message) (tree, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out tree
	return out, json.Unmarshal(text, &out)
}

// differs says how what Envoy has differs from a wanted resource; it is empty where
// it does not. Content decides, where there is any to see.
func (c *Checker) differs(k kind, r xds.Resource, h running) string {
	another := "has the right version and another content"
	if h.version != r.Version {
		another = fmt.Sprintf("is another, version %.12s and not %.12s", h.version, r.Version)
	}
	versions := pair{k.typeURL, r.Name, h.version, r.Version}
	switch {
	case !h.whole && (h.version == r.Version || c.same[versions]):
		return ""
	case !h.whole:
		return another
	}
	if where := c.content(k, r, h.body); where != "" {
		return another + ": " + where
	}
	c.same[versions] = true
	return ""
}

// content says where two contents differ.
func (c *Checker) content(k kind, r xds.Resource, body json.RawMessage) string {
	want, ok := c.plain[r.Version]
	if !ok {
		m := k.message()
		err := proto.Unmarshal(r.Bytes, m)
		if err == nil {
			want, err = plain(m)
		}
		if err != nil {
			return fmt.Sprintf("the release's cannot be read: %v", err)
		}
		c.plain[r.Version] = want
	}
	have, err := parse(k.message(), body)
	if err != nil {
		return fmt.Sprintf("envoy's cannot be read: %v", err)
	}
	return difference("", want, have)
}

// parse reads a message as Envoy prints it.
func parse(m proto.Message, body json.RawMessage) (tree, error) {
	body, err := untyped(body)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(body, m); err != nil {
		return nil, err
	}
	return plain(m)
}

// untyped takes off the "@type" of an Any, whose message is known.
func untyped(body json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	delete(fields, "@type")
	return json.Marshal(fields)
}

// difference returns the path of the first field that differs.
func difference(path string, want, have any) string {
	switch w := want.(type) {
	case map[string]any:
		if h, ok := have.(map[string]any); ok {
			return fieldDifference(path, w, h)
		}
	case []any:
		if h, ok := have.([]any); ok {
			return itemDifference(path, w, h)
		}
	default:
		if want == have {
			return ""
		}
	}
	return strings.TrimPrefix(path, ".")
}

func fieldDifference(path string, want, have map[string]any) string {
	both := map[string]bool{}
	for _, m := range []map[string]any{want, have} {
		for name := range m {
			both[name] = true
		}
	}
	for _, name := range sorted(both) {
		w, wanted := want[name]
		h, there := have[name]
		at := path + "." + name
		if wanted != there {
			return strings.TrimPrefix(at, ".")
		}
		if where := difference(at, w, h); where != "" {
			return where
		}
	}
	return ""
}

func itemDifference(path string, want, have []any) string {
	for i := range min(len(want), len(have)) {
		if where := difference(fmt.Sprintf("%s[%d]", path, i), want[i], have[i]); where != "" {
			return where
		}
	}
	if len(want) != len(have) {
		return strings.TrimPrefix(fmt.Sprintf("%s[%d]", path, min(len(want), len(have))), ".")
	}
	return ""
}

// bootstrap compares what Envoy started with, but for the node, to which Envoy
// adds a hundred kilobytes about itself.
func (c *Checker) bootstrap(ctx context.Context, want []byte) ([]string, error) {
	page, err := c.get(ctx, "/config_dump?mask="+bootstrapMask())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Configs []struct{ Bootstrap json.RawMessage }
	}
	if err := json.Unmarshal(page, &answer); err != nil {
		return nil, fmt.Errorf("reading envoy's bootstrap: %w", err)
	}
	if len(answer.Configs) != 1 {
		return nil, fmt.Errorf("reading envoy's bootstrap: it says %d", len(answer.Configs))
	}
	have, err := parse(&bootstrapv3.Bootstrap{}, answer.Configs[0].Bootstrap)
	if err != nil {
		return []string{fmt.Sprintf("the bootstrap is another: it cannot be read: %v", err)}, nil
	}
	m := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(want, m); err != nil {
		return nil, fmt.Errorf("reading the wanted bootstrap: %w", err)
	}
	m.Node = nil
	expect, err := plain(m)
	if err != nil {
		return nil, fmt.Errorf("reading the wanted bootstrap: %w", err)
	}
	if where := difference("", expect, have); where != "" {
		return []string{"the bootstrap is another: " + where}, nil
	}
	return nil, nil
}

// bootstrapMask names every field but the node.
func bootstrapMask() string {
	var paths []string
	fields := (&bootstrapv3.Bootstrap{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if name := string(fields.Get(i).Name()); name != "node" {
			paths = append(paths, "bootstrap."+name)
		}
	}
	return strings.Join(paths, ",")
}
