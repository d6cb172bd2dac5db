package hystrix

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// property is one key and value of a file.
type property struct {
	key, value string
	at         source.Span // of the key
}

// parse reads the format of java.util.Properties.load: comments with # or !, a key ended by
// =, : or space, lines continued by a backslash, \uXXXX.
func parse(file, text string) ([]property, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%s: it is not UTF-8", file)
	}
	var out []property
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		first := i + 1
		indent := len(lines[i]) - len(strings.TrimLeft(lines[i], " \t\f"))
		line := lines[i][indent:]
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		key, value := split(line)
		start := source.Pos{Line: first, Column: indent + 1}
		p := property{at: source.Span{File: file, Start: start, End: source.Pos{Line: first, Column: start.Column + len(key)}}}
		var err error
		if p.key, err = unescape(key); err == nil {
			p.value, err = unescape(strings.TrimRight(value, " \t\f"))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.at, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// continues reports whether a line ends in an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// split finds the end of the key.
func split(line string) (key, value string) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '=', ':', ' ', '\t', '\f':
			rest := strings.TrimLeft(line[i:], " \t\f")
			if rest != "" && (rest[0] == '=' || rest[0] == ':') {
				rest = strings.TrimLeft(rest[1:], " \t\f")
			}
			return line[:i], rest
		}
	}
	return line, ""
}

func unescape(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch c := text[i]; c {
		case 't', 'n', 'r', 'f':
			b.WriteByte("\t\n\r\f"[strings.IndexByte("tnrf", c)])
		case 'u':
			if i+5 > len(text) {
				return "", fmt.Errorf(`%q: want four hexadecimal digits after \u`, text)
			}
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 32)
			if err != nil {
				return "", fmt.Errorf(`%q: want four hexadecimal digits after \u`, text)
			}
			b.WriteRune(rune(n))
			i += 4
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
