package translate

import (
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// IsLabel reports an RFC 1123 label.
func IsLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// IsName reports an RFC 1123 subdomain, as Kubernetes' names are.
func IsName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if !IsLabel(label) {
			return false
		}
	}
	return len(name) <= 253
}

// Placeholder reports a variable without a value, which has a diagnostic of the
// loader already.
func Placeholder(s string) bool { return strings.Contains(s, "${") || strings.Contains(s, "$(") }

// RuleName is a rule's own name, else its number.
func RuleName(n *load.Node, i int) string {
	if name := n.TextOf("name"); name != "" {
		return name
	}
	return "#" + strconv.Itoa(i+1)
}
