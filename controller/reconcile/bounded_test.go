package reconcile

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The API server stores text as UTF-8: half a character would come back as another one,
// and the status would never be what is wanted.
func TestBoundedKeepsCharacters(t *testing.T) {
	for most := 8; most < 16; most++ {
		got := bounded(strings.Repeat("\u2260\U0001f512", 8), most)
		if !utf8.ValidString(got) || len(got) > most || len(got) < most-6 {
			t.Errorf("bounded to %d is %q", most, got)
		}
	}
	if got := bounded("short", 8); got != "short" {
		t.Errorf("got %q", got)
	}
}
