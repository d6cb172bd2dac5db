package bootstrap_test

import (
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/agent/bootstrap"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

func TestEnvoyTakesTheBootstrap(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	data, err := bootstrap.Encode(bootstrap.Options{
		NodeID: "shop/catalog-v1/a", Workload: "shop/catalog-v1",
		AgentSocket: "/tmp/agent.sock", AdminSocket: "/tmp/admin.sock",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := envoytest.Validate(t.Context(), data); err != nil {
		t.Error(err)
	}
	again, err := bootstrap.Encode(bootstrap.Options{
		NodeID: "shop/catalog-v1/a", Workload: "shop/catalog-v1",
		AgentSocket: "/tmp/agent.sock", AdminSocket: "/tmp/admin.sock",
	})
	if err != nil || string(again) != string(data) {
		t.Errorf("the same options give other bytes, error %v", err)
	}
}

func TestSocketPathIsBounded(t *testing.T) {
	t.Parallel()
	_, err := bootstrap.Encode(bootstrap.Options{AgentSocket: "/" + strings.Repeat("a", 107), AdminSocket: "/a"})
	if err == nil || !strings.Contains(err.Error(), "107 bytes") {
		t.Errorf("got %v", err)
	}
}
