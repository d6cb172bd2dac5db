package translate

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// maxDuration is a year: longer ones are mistakes.
const maxDuration = 8760 * time.Hour

// Duration reads a length of time below n; nil where it is absent or wrong. Envoy
// counts its timeouts in whole milliseconds and takes 0 for none, so that half a
// millisecond would be no timeout at all. low is 0 where "0s" has a meaning.
func (r *Report) Duration(n *load.Node, key string, low time.Duration) *time.Duration {
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		return nil
	}
	d, err := time.ParseDuration(v.Text)
	switch {
	case err != nil:
		r.Errorf(CodeValue, v.Span, "%s %q is no duration: write a number with its unit, such as 250ms, 2s or 1m30s", key, v.Text)
	case d > maxDuration:
		r.Errorf(CodeValue, v.Span, "%s %q is longer than a year", key, v.Text)
	case d%time.Millisecond != 0:
		r.Errorf(CodeValue, v.Span, "%s %q: want whole milliseconds, which is how Envoy counts", key, v.Text)
	case d < low:
		r.Errorf(CodeValue, v.Span, "%s %q: want at least %s", key, v.Text, low)
	default:
		return &d
	}
	return nil
}
