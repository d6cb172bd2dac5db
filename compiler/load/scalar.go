package load

import (
	"encoding/base64"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// scalar fills out with the value of n in YAML's core schema.
func (c *converter) scalar(n *yaml.Node, out *Node) {
	out.Span.End = c.end(n, out.Span)
	text := n.Value
	if strings.IndexByte(text, '$') >= 0 {
		text = c.substitute(text, out.Span)
	}
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		tagged(n.Tag, text, out)
	case n.Style&quoted != 0:
		out.Kind, out.Text = String, text
	case text != n.Value:
		// A value that stands unquoted is typed as if it had been written there.
		plain := yaml.Node{Kind: yaml.ScalarNode, Value: text}
		plain.Tag = plain.ShortTag()
		c.plain(&plain, out)
	default:
		c.plain(n, out)
	}
}

func (c *converter) plain(n *yaml.Node, out *Node) {
	if c.strict {
		c.ambiguous(n, out.Span)
	}
	resolve(n.Tag, n.Value, out)
}

// resolve types a plain scalar. Timestamps are strings, as in JSON.
func resolve(tag, text string, out *Node) {
	out.Kind, out.Text = String, text
	switch tag {
	case "!!null":
		out.Kind, out.Text = Null, ""
	case "!!bool":
		out.Kind, out.Text = Bool, strings.ToLower(text)
	case "!!int":
		if s, ok := integer(text); ok {
			out.Kind, out.Text = Int, s
		}
	case "!!float":
		if s, ok := integer(text); ok { // an integer beyond 64 bits
			out.Kind, out.Text = Int, s
		} else if f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			out.Kind, out.Text = Float, formatFloat(f)
		}
	}
}

// formatFloat writes a number as encoding/json does.
func formatFloat(f float64) string {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// integer returns the decimal form of a YAML integer.
func integer(text string) (string, bool) {
	s := strings.TrimPrefix(text, "+")
	digits := strings.TrimPrefix(s, "-")
	if digits != "" && len(digits) <= 400 && strings.Trim(digits, "0123456789") == "" && (digits[0] != '0' || digits == "0") {
		return s, s != "-0"
	}
	i, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		return "", false
	}
	return strconv.FormatInt(i, 10), true
}

// tagged types a scalar with an explicit tag, as Kubernetes' reader does.
func tagged(tag, text string, out *Node) {
	switch tag {
	case "!!int", "!!float", "!!bool", "!!null":
		resolve(tag, text, out)
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		out.Kind, out.Text = String, string(b)
		if err != nil {
			out.Text = text
		}
	default:
		out.Kind, out.Text = String, text
	}
}

var (
	sexagesimal = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)
	leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+(\.[0-9]*)?$`)
	otherBase   = regexp.MustCompile(`^[-+]?0[bo][0-9_]+$`)
	underscored = regexp.MustCompile(`^[-+]?(0x)?[0-9a-fA-F][0-9a-fA-F._]*_[0-9a-fA-F._]*$`)
)

// yaml11Booleans are booleans to YAML 1.1 readers, Kubernetes' among them, and
// strings to YAML 1.2 readers.
var yaml11Booleans = []string{"y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"}

// ambiguous reports a plain scalar that YAML readers type differently.
func (c *converter) ambiguous(n *yaml.Node, at source.Span) {
	text := n.Value
	if text == "" || len(text) > 64 {
		return
	}
	why, write := "", "write the decimal number, or %q for the text"
	switch first := text[0]; {
	case len(text) <= 3 && slices.Contains(yaml11Booleans, text):
		why, write = "a boolean for Kubernetes and a string for others", "write true or false, or %q for the text"
	case n.Tag == "!!float" && strings.ContainsAny(text, "iInN") && strings.Trim(text, "+-.infatyINFATY") == "":
		why, write = "no number in JSON", "write %q for the text"
	case first != '+' && first != '-' && (first < '0' || first > '9'):
	case sexagesimal.MatchString(text):
		why = "a number to base 60 for some YAML readers and a string for others"
	case leadingZero.MatchString(text):
		why = "an octal number, a decimal number or a string, depending on the YAML reader"
	case otherBase.MatchString(text) || (n.Tag == "!!int" || n.Tag == "!!float") && underscored.MatchString(text):
		why = "a number for some YAML readers and a string for others"
	}
	if why != "" {
		c.report(CodeAmbiguous, at, "unquoted %s is %s: "+write, text, why, text)
	}
}

// substitute replaces placeholders; $${VAR} and $$(VAR) stand for themselves
// without the first dollar sign, as in Flux and Kubernetes.
func (c *converter) substitute(text string, at source.Span) string {
	missing := func(name, written string) {
		if c.strict {
			c.report(CodePlaceholder, at, noValue, written, name, written)
		}
	}
	return substitute(text, c.opt.Set, missing)
}

const noValue = "%s has no value: pass --set %s=VALUE, or write $%s if it stands for itself"

func substitute(text string, set map[string]string, missing func(name, written string)) string {
	if strings.IndexByte(text, '$') < 0 {
		return text
	}
	var b strings.Builder
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:at])
		text = text[at:]
		if strings.HasPrefix(text, "$$") {
			if _, _, n := placeholder(text[1:]); n > 0 {
				b.WriteString(text[1 : 1+n])
				text = text[1+n:]
				continue
			}
		}
		name, fallback, n := placeholder(text)
		if n == 0 {
			b.WriteByte('$')
			text = text[1:]
			continue
		}
		value, ok := set[name]
		switch {
		case ok:
			b.WriteString(value)
		case fallback != nil:
			b.WriteString(*fallback)
		default:
			missing(name, text[:n])
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
}

// placeholder parses the placeholder at the start of text; n is 0 where there
// is none. ${VAR:=default} and ${VAR:-default} are Flux's.
func placeholder(text string) (name string, fallback *string, n int) {
	if len(text) < 4 || text[1] != '{' && text[1] != '(' {
		return "", nil, 0
	}
	closing := byte('}')
	if text[1] == '(' {
		closing = ')'
	}
	end := strings.IndexByte(text, closing)
	if end < 0 {
		return "", nil, 0
	}
	name = text[2:end]
	if i := strings.IndexByte(name, ':'); i > 0 && closing == '}' && i+1 < len(name) && (name[i+1] == '=' || name[i+1] == '-') {
		rest := name[i+2:]
		name, fallback = name[:i], &rest
	}
	for i := range len(name) {
		ch := name[i]
		letter := ch == '_' || 'a' <= ch && ch <= 'z' || 'A' <= ch && ch <= 'Z'
		if !letter && (i == 0 || ch < '0' || ch > '9') {
			return "", nil, 0
		}
	}
	if name == "" {
		return "", nil, 0
	}
	return name, fallback, end + 1
}
