package kubetest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

var rights = regexp.MustCompile(`(?m)^kind: (ServiceAccount|(Cluster)?Role(Binding)?)$`)

// AsDeployed returns the path of a kubeconfig with a token of a role's service account, after it
// has applied the account and the rights that the role's manifest, a path below deploy, gives it.
// The manifest's namespace must be there.
func (c *Cluster) AsDeployed(t T, manifest, namespace, serviceAccount string) string {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "deploy", manifest))
	if err != nil {
		t.Fatal(err)
	}
	var documents []string
	for _, document := range strings.Split(string(data), "\n---\n") {
		if rights.MatchString(document) {
			documents = append(documents, document)
		}
	}
	c.Apply(t, strings.Join(documents, "\n---\n"))
	return c.As(t, namespace, serviceAccount)
}
