package dialecttest

import (
	"strings"
	"testing"
)

// Treated wants each field of an upstream object in exactly one of the groups of a
// table: those that are read, separated by spaces, and others with what they say. No
// other field stands there.
func Treated(t *testing.T, object string, upstream []string, reads string, others ...map[string]string) {
	t.Helper()
	times := map[string]int{}
	for field := range strings.FieldsSeq(reads) {
		times[field]++
	}
	for _, group := range others {
		for field, instead := range group {
			times[field]++
			if instead == "" {
				t.Errorf("%s.%s: nothing says why, or what to write instead", object, field)
			}
		}
	}
	for _, field := range upstream {
		if times[field] != 1 {
			t.Errorf("%s.%s is treated in %d ways, want 1: put it under reads, warns or refuses of table fields", object, field, times[field])
		}
		delete(times, field)
	}
	for field := range times {
		t.Errorf("%s.%s does not exist", object, field)
	}
}
