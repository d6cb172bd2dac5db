package drift

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/agent/xds"
)

// Want is what an Envoy is to run.
type Want struct {
	Clusters, Listeners, Routes []xds.Resource
	// Leaving are the resources that go soon and may still be there.
	Leaving map[string][]string // names by type URL
	// Secrets are the versions by name. Envoy asks for those that it needs.
	Secrets map[string]string
	// Bootstrap is what Envoy was started with, as JSON.
	Bootstrap []byte
}

// A Get asks Envoy's admin interface for a page.
type Get func(ctx context.Context, path string) ([]byte, error)

// A Checker looks at one Envoy. It remembers what it made of resources that do
// not change.
type Checker struct {
	get   Get
	plain map[string]tree // of wanted resources, by version
}

// NewChecker returns a checker that asks by get.
func NewChecker(get Get) *Checker { return &Checker{get: get, plain: map[string]tree{}} }

// Versions compares names and versions, which costs Envoy and the agent little
// whatever the slice holds.
func (c *Checker) Versions(ctx context.Context, w Want) ([]string, error) {
	return c.check(ctx, w, false)
}

// Contents compares the content too, and the bootstrap.
func (c *Checker) Contents(ctx context.Context, w Want) ([]string, error) {
	found, err := c.check(ctx, w, true)
	if err != nil {
		return nil, err
	}
	started, err := c.bootstrap(ctx, w.Bootstrap)
	return append(started, found...), err
}

func (c *Checker) check(ctx context.Context, w Want, contents bool) ([]string, error) {
	found, err := c.stopped(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range kinds {
		have, err := c.dump(ctx, k, contents)
		if err != nil {
			return nil, err
		}
		found = append(found, c.compare(k, w, have, contents)...)
	}
	if contents {
		c.forget(w)
	}
	return found, nil
}

// compare says how what Envoy has of a kind differs.
func (c *Checker) compare(k kind, w Want, have map[string]running, contents bool) (found []string) {
	for _, r := range k.want(w) {
		h, ok := have[r.Name]
		delete(have, r.Name)
		switch {
		case !ok && !k.asked:
			found = append(found, fmt.Sprintf("%s %q is missing", k.word, r.Name))
		case !ok: // Envoy does not need it
		case h.version != r.Version:
			found = append(found, fmt.Sprintf("%s %q is another: version %.12s, the release has %.12s", k.word, r.Name, orNone(h.version), r.Version))
		case contents && k.message != nil:
			if where := c.differs(k, r, h.body); where != "" {
				found = append(found, fmt.Sprintf("%s %q has the right version and another content: %s", k.word, r.Name, where))
			}
		}
	}
	for _, name := range sorted(have) {
		if !slices.Contains(w.Leaving[k.typeURL], name) {
			found = append(found, fmt.Sprintf("%s %q is not of the release", k.word, name))
		}
	}
	return found
}

// forget drops what was made of resources that are no longer wanted.
func (c *Checker) forget(w Want) {
	wanted := map[string]bool{}
	for _, list := range [][]xds.Resource{w.Clusters, w.Listeners, w.Routes} {
		for _, r := range list {
			wanted[r.Version] = true
		}
	}
	for version := range c.plain {
		if !wanted[version] {
			delete(c.plain, version)
		}
	}
}

func orNone(version string) string {
	if version == "" {
		return "none"
	}
	return version
}

// Limits of what is told about one proxy.
const (
	maxFound = 16
	maxText  = 2 << 10
)

// Text joins differences for a report, with the count of those that it has no
// room for.
func Text(found []string) string {
	var b strings.Builder
	for i, f := range found {
		if i == maxFound || b.Len()+len(f) > maxText-64 {
			if b.Len() == 0 {
				b.WriteString(clip(f, maxText-64))
				i++
			}
			if i < len(found) {
				fmt.Fprintf(&b, "; and %d more", len(found)-i)
			}
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f)
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
