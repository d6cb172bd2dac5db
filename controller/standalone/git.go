package standalone

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// gitWatch watches the branches of a local repository, bare or not. It looks at
// no ref itself: opening the revision tells whether it has changed.
type gitWatch struct {
	repository string
	poll       time.Duration
	log        *slog.Logger
}

func (g gitWatch) run(ctx context.Context, changed func()) {
	var events <-chan struct{}
	poll := g.poll
	dir, err := commonDir(ctx, g.repository)
	if err != nil {
		g.log.Warn("finding the git directory: looking for changes of the branch", "every", poll, "error", err)
	} else {
		events, poll = subscribe(ctx, g.log, func(w *fsnotify.Watcher) error { return addRefs(w, dir) }, poll)
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		changed() // also once before there were events
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-tick.C:
		}
	}
}

// commonDir is where a repository, or the one that a worktree belongs to, keeps
// its refs.
func commonDir(ctx context.Context, repository string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", repository, "rev-parse", "--git-common-dir").Output()
	if err != nil {
		return "", fmt.Errorf("git rev-parse in %s: %w", repository, err)
	}
	dir := strings.TrimSpace(string(out))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(repository, dir)
	}
	return dir, nil
}

// addRefs watches the files that hold refs, loose, packed or as a reftable, and
// not the objects.
func addRefs(w *fsnotify.Watcher, dir string) error {
	if err := w.Add(dir); err != nil { // packed-refs
		return err
	}
	for _, sub := range []string{"refs", "reftable"} {
		if _, err := os.Stat(filepath.Join(dir, sub)); err != nil {
			continue
		}
		err := filepath.WalkDir(filepath.Join(dir, sub), func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return nil
			}
			return w.Add(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
