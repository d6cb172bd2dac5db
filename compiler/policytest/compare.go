package policytest

import (
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// comparison collects what of a case's expectations does not hold.
type comparison struct {
	test     *mesh.Test
	got      *reach.Result
	failures []Failure
}

// compare checks what the case expects and nothing else.
func compare(t *mesh.Test, want *mesh.TestExpect, got *reach.Result) []Failure {
	c := comparison{test: t, got: got}
	routed := routeDecider(got)
	c.text("access", want.Access, string(got.Access.Decision), accessDecider(got))
	c.text("action", want.Action, string(got.Route.Action), routed)
	c.text("rule", want.Route, ruleName(got), routed)
	if want.Status != 0 {
		c.text("status", fmt.Sprint(want.Status), status(got), routed)
	}
	c.text("location", want.Location, got.Route.Location, routed)
	c.upstream(want, routed)
	c.destinations("destinations", want.Destinations, got.Route.Destinations, routed)
	c.destinations("mirrors", want.Mirrors, mirrors(got), routed)
	if want.Timeout != nil {
		c.text("timeout", want.Timeout.String(), ofRouted(got, got.Route.Timeout), routed)
	}
	if want.Attempts != nil {
		c.text("attempts", fmt.Sprint(*want.Attempts), ofRouted(got, got.Route.Retries), routed)
	}
	return c.failures
}

// text compares; an empty want expects nothing.
func (c *comparison) text(field, want, got string, by Decider) {
	if want != "" && want != got {
		c.failures = append(c.failures, Failure{field, want, orNone(got), by})
	}
}

func (c *comparison) upstream(want *mesh.TestExpect, by Decider) {
	up := &c.got.Route.Upstream
	c.text("upstream.path", want.Path, up.Path, by)
	c.text("upstream.host", want.Host, withoutPort(up.Host), by)
	for _, name := range slices.Sorted(maps.Keys(want.Headers)) {
		for _, got := range c.seen(name) {
			if got != strconv.Quote(want.Headers[name]) {
				c.failures = append(c.failures, Failure{"upstream.headers." + name, strconv.Quote(want.Headers[name]), got, by})
				break
			}
		}
	}
}

// seen is what each destination receives of a header, quoted: its lines joined by
// ",", as HTTP reads them (RFC 9110, 5.3).
func (c *comparison) seen(name string) []string {
	received := func(headers map[string][]string) string {
		if lines, there := headers[name]; there {
			return strconv.Quote(strings.Join(lines, ","))
		}
		return orNone("")
	}
	var out []string
	for _, d := range c.got.Route.Destinations {
		switch {
		case d.Percent == 0:
		case d.Headers != nil:
			out = append(out, received(d.Headers))
		default:
			out = append(out, received(c.got.Route.Upstream.Headers))
		}
	}
	if len(out) == 0 {
		return []string{orNone("")}
	}
	return out
}

func (c *comparison) destinations(field string, want []mesh.ExpectDestination, got []reach.Destination, by Decider) {
	if len(want) > 0 && !sameDestinations(c.test, want, got) {
		c.failures = append(c.failures, Failure{field, wantedText(c.test, want), destinationsText(got), by})
	}
}

// mirrors are destinations of copies.
func mirrors(r *reach.Result) []reach.Destination {
	var out []reach.Destination
	for _, m := range r.Route.Mirrors {
		out = append(out, reach.Destination{Backend: m.Backend, Percent: m.Percent})
	}
	return out
}

// ofRouted is a property that only requests have which go to a destination.
func ofRouted(r *reach.Result, property any) string {
	if r.Route.Action != reach.ActionRoute {
		return ""
	}
	return fmt.Sprint(property)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func ruleName(r *reach.Result) string {
	if r.Route.Rule == nil {
		return ""
	}
	return r.Route.Rule.Name
}

func status(r *reach.Result) string {
	if r.Status == 0 {
		return "the destination's own"
	}
	return fmt.Sprint(r.Status)
}

// sameDestinations compares the whole split, without regard to order.
func sameDestinations(t *mesh.Test, want []mesh.ExpectDestination, got []reach.Destination) bool {
	got = slices.DeleteFunc(slices.Clone(got), func(d reach.Destination) bool { return d.Percent == 0 })
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		k := slices.IndexFunc(got, func(d reach.Destination) bool { return is(t, &want[i], &d) })
		if k < 0 {
			return false
		}
		got = slices.Delete(got, k, k+1)
	}
	return true
}

// tolerance of percentages: shares such as 33.33.
const tolerance = 0.01

func is(t *mesh.Test, want *mesh.ExpectDestination, got *reach.Destination) bool {
	s := got.Backend.Port.Service
	named := s.Key() == keyOf(t, want.Service)
	if want.Service.Host != "" {
		named = slices.Contains(s.Hosts, want.Service.Host)
	}
	return named && want.Version == got.Backend.Version &&
		(want.Port == 0 || want.Port == got.Backend.Port.Number) &&
		(want.AnyPercent || math.Abs(want.Percent-got.Percent) <= tolerance)
}

func wantedText(t *mesh.Test, list []mesh.ExpectDestination) string {
	parts := make([]string, len(list))
	for i, d := range list {
		name := d.Service.Host
		if name == "" {
			name = keyOf(t, d.Service)
		}
		if d.Port != 0 {
			name += fmt.Sprintf(":%d", d.Port)
		}
		parts[i] = destinationText(name, d.Version, d.Percent, d.AnyPercent)
	}
	return strings.Join(parts, ", ")
}

func destinationsText(list []reach.Destination) string {
	parts := make([]string, len(list))
	for i, d := range list {
		p := d.Backend.Port
		parts[i] = destinationText(fmt.Sprintf("%s:%d", p.Service.Key(), p.Number), d.Backend.Version, d.Percent, false)
	}
	return orNone(strings.Join(parts, ", "))
}

func destinationText(name, version string, percent float64, anyPercent bool) string {
	if version != "" {
		name += " " + version
	}
	if anyPercent {
		return name
	}
	return name + " " + strconv.FormatFloat(percent, 'f', -1, 64) + "%"
}

// withoutPort is a Host header as a case names it.
func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
