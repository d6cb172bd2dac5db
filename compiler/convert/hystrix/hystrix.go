// Package hystrix converts the properties of Netflix Hystrix to native policies.
//
// In: a .properties file, and which service each command key calls. Out: for each
// command a MeshRoute with its timeout and a TrafficPolicy with its limits, with Hystrix's
// defaults for what is not written, each value with the line that it comes from, and a
// warning for every property that has no counterpart. docs/hystrix.md has the table.
package hystrix

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Options of a conversion.
type Options struct {
	Namespace string
	// Services by command key; others are services named after their key
	// ("GetCatalog" is get-catalog).
	Services map[string]string
}

// group is the properties of one command or pool, by the rest of their keys.
type group map[string]property

type converter struct {
	opt             Options
	commands, pools map[string]group // "default" is for all
	used            map[string]bool  // pools
	diags           diag.List
}

// Convert converts one file. The text has what could be converted; with an error among
// the diagnostics it is not complete.
func Convert(file, text string, opt Options) ([]byte, diag.List, error) {
	properties, err := parse(file, text)
	if err != nil {
		return nil, nil, err
	}
	c := &converter{opt: opt, commands: map[string]group{}, pools: map[string]group{}, used: map[string]bool{}}
	for _, p := range properties {
		c.sort(p)
	}
	for key := range opt.Services {
		if c.commands[key] == nil { // a command that takes all defaults
			c.commands[key] = group{}
		}
	}
	out := c.policies(file)
	for _, key := range slices.Sorted(maps.Keys(c.pools)) {
		if key != everybody && !c.used[key] {
			for _, p := range c.pools[key] {
				c.left(p, fmt.Sprintf("no command of this file has the pool %q: name it by hystrix.command.KEY.%s", key, poolOverride))
			}
		}
	}
	c.diags.Sort()
	return out, c.diags, nil
}

const everybody = "default"

// sort puts a property to its command or pool.
func (c *converter) sort(p property) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(p.key, "hystrix."), ".")
	groups, left := c.commands, commandLeft
	switch {
	case !strings.HasPrefix(p.key, "hystrix."):
		c.left(p, "it is no property of Hystrix")
		return
	case kind == "threadpool":
		groups, left = c.pools, poolLeft
	case kind == "collapser":
		c.left(p, "requests are not collapsed")
		return
	case kind != "command":
		c.left(p, "it is no property of Hystrix")
		return
	}
	// A key may have dots ("PaymentClient#charge(Order)" or a package): properties are known.
	key, name := known(rest, left)
	if key == "" {
		c.left(p, "Hystrix has no such property")
		return
	}
	if groups[key] == nil {
		groups[key] = group{}
	}
	if name == timeoutOld {
		name = timeout
	}
	groups[key][name] = p // java.util.Properties keeps the last, too
	if why := left[name]; why != "" {
		c.left(p, why)
	}
}

// known cuts "KEY.some.property" where a property begins.
func known(text string, left map[string]string) (key, name string) {
	for i := range text {
		if text[i] != '.' {
			continue
		}
		name := text[i+1:]
		_, read := defaults[name]
		if read || left[name] != "" || name == timeoutOld {
			return text[:i], name
		}
	}
	return "", ""
}

func (c *converter) left(p property, why string) {
	d := c.diags.Add(translate.CodeUnsupported, diag.Warning, p.at, "%s has no counterpart", p.key)
	d.Fix = &diag.Fix{Message: why}
}

// setting is a value and where it is written; nowhere for a default of Hystrix.
type setting struct {
	value string
	at    source.Span
}

// get looks at the group itself, then at "default", then at Hystrix's default.
func get(groups map[string]group, key, name string) setting {
	for _, of := range []string{key, everybody} {
		if p, ok := groups[of][name]; ok {
			return setting{p.value, p.at}
		}
	}
	return setting{value: defaults[name]}
}

// comment says where a value comes from.
func (s setting) comment() string {
	if !s.at.IsValid() {
		return "Hystrix's default"
	}
	return s.at.String()
}

func (c *converter) wrong(s setting, name, want string) {
	c.diags.Add(translate.CodeValue, diag.Error, s.at, "%s %q: want %s", name, s.value, want)
}

// number reads a whole number of at least low and at most high.
func (c *converter) number(s setting, name string, low, high int) int {
	n, err := strconv.Atoi(s.value)
	if err != nil || n < low || n > high {
		c.wrong(s, name, fmt.Sprintf("a whole number from %d to %d", low, high))
		return low
	}
	return n
}

// truth reads what java.lang.Boolean.parseBoolean takes for true.
func (c *converter) truth(s setting, name string) bool {
	switch strings.ToLower(s.value) {
	case "true":
		return true
	case "false":
		return false
	}
	c.wrong(s, name, "true or false")
	return false
}

// name of the service that a command calls.
func (c *converter) service(key string) string {
	if name, ok := c.opt.Services[key]; ok {
		return name
	}
	var b strings.Builder
	for i, r := range key {
		switch {
		case unicode.IsUpper(r) && i > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
			fallthrough
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

// label is a name of a Service (RFC 1035).
var label = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// anywhere is a place of a command for findings about its key.
func (g group) anywhere() (at source.Span) {
	for _, p := range g {
		if !at.IsValid() || p.at.Start.Line < at.Start.Line {
			at = p.at
		}
	}
	return at
}
