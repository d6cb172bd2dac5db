package envoytest

import "sync"

// tail keeps the end of what is written to it; it may be read while a process writes.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

const tailSize = 1 << 20

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	// Cut at twice the size, so that a byte is moved once on average.
	if len(t.bytes) > 2*tailSize {
		t.bytes = append([]byte(nil), t.bytes[len(t.bytes)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes[max(0, len(t.bytes)-tailSize):])
}
