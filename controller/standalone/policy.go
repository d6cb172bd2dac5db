package standalone

import (
	"context"
	"path"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/source/open"
)

const gitPrefix = "git:"

// policy is a repository that changes.
type policy struct {
	// dir is put before file names in messages; "" where they are in a commit.
	dir string
	// open reads the repository as it is now.
	open func(context.Context) (*open.Tree, error)
	// watch calls changed whenever the repository may have changed, until ctx ends.
	watch func(ctx context.Context, changed func())
}

func newPolicy(c Config) policy {
	if spec, ok := strings.CutPrefix(c.Path, gitPrefix); ok {
		rev, sub, _ := strings.Cut(spec, ":")
		w := gitWatch{repository: c.Repository, poll: c.Poll, log: c.Log}
		return policy{
			open:  func(ctx context.Context) (*open.Tree, error) { return open.Git(ctx, c.Repository, rev, sub) },
			watch: w.run,
		}
	}
	w := dirWatch{path: c.Path, poll: c.Poll, log: c.Log}
	return policy{
		dir:   path.Clean(c.Path),
		open:  func(ctx context.Context) (*open.Tree, error) { return open.Open(ctx, c.Path, strings.NewReader("")) },
		watch: w.run,
	}
}
