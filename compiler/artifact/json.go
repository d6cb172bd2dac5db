package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
)

// DecodeJSON reads one JSON value strictly: UTF-8, exact field names, no
// unknown field, no field twice, nothing after the value. encoding/json by
// itself matches names in any case and lets the last duplicate win, so two
// readers of one signed document could see two meanings.
func DecodeJSON(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("the text is not UTF-8")
	}
	strict, err := kjson.UnmarshalStrict(data, into)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return strict[0]
	}
	return nil
}

// encodeJSON writes a value whose fields are already sorted. Map keys are
// sorted by encoding/json.
func encodeJSON(what string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", what, err)
	}
	return append(data, '\n'), nil
}

// appendJSONString writes a string as encoding/json does, which asks for an
// escape where one of these bytes stands.
func appendJSONString(out []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			text, _ := json.Marshal(s) // a string always has an encoding
			return append(out, text...)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}
