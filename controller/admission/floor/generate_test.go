package floor_test

//go:generate go test -count=1 -run ^TestManifests$ . -update

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/mesh-compile/mesh-compile/controller/admission/floor"
)

var update = flag.Bool("update", false, "write the manifests")

// TestManifests: deploy/base has what the table says.
func TestManifests(t *testing.T) {
	const name = "../../../deploy/base/floor.yaml"
	want, err := floor.Manifests("mesh-system")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is stale: run go generate ./controller/admission/floor", name)
	}
}
