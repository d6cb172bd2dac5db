package agent

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mesh-compile/mesh-compile/agent/authz"
)

// TestDecisionsAreLocal: a pod's status port is open to kubelet, and so to every
// other pod.
func TestDecisionsAreLocal(t *testing.T) {
	t.Parallel()
	pages := (&Agent{authz: authz.NewServer()}).statusPages()
	for from, want := range map[string]int{
		"127.0.0.1:1": http.StatusOK, "[::1]:1": http.StatusOK, "[::ffff:127.0.0.1]:1": http.StatusOK,
		"10.0.0.7:1": http.StatusForbidden, "[fe80::1%eth0]:1": http.StatusForbidden, "": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/decisions", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s: status %d, want %d", from, w.Code, want)
		}
	}
}
