package compiler

import "testing"

// TestCurable: each code was decided, and none that does not exist.
func TestCurable(t *testing.T) {
	left := len(curable)
	for _, p := range Pages() {
		if _, decided := curable[p.Code]; !decided {
			t.Errorf("curable.go does not say whether a later object can cure %s", p.Code)
		}
		left--
	}
	if left != 0 {
		t.Errorf("curable.go has %d codes that no page describes", left)
	}
}
