package translate

import "strings"

// CookieText reports whether text may stand within a Set-Cookie header, where a
// semicolon would begin an attribute and a control character another header (RFC
// 6265, 4.1.1).
func CookieText(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == ',' || r == '"' || r == '\\' })
}

// CookieOwn reports whether an attribute has a field of its own. Envoy writes those
// itself, and a second one of the same name would contradict it.
func CookieOwn(name string) bool {
	switch strings.ToLower(name) {
	case "path", "max-age", "expires":
		return true
	}
	return false
}
