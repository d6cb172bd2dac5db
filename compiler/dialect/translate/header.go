package translate

import (
	"slices"
	"strings"
)

// Token reports RFC 9110's token, which names of headers and methods are.
func Token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

var framing = []string{"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// Framing reports headers, in lower case, that say where a message ends and belong
// to the connection: changing them desynchronises the next proxy (RFC 9112, 11.2).
func Framing(name string) bool { return slices.Contains(framing, name) }

// ControlCharacter reports a value of a header that could end the header.
func ControlCharacter(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
