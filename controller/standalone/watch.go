package standalone

import (
	"context"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollFactor is how much more seldom we look ourselves where the system tells
// of changes: it may lose events, and knows nothing of network file systems.
const pollFactor = 5

// dirWatch watches a directory, or the one that a file is in.
type dirWatch struct {
	path string
	poll time.Duration
	log  *slog.Logger
}

func (d dirWatch) run(ctx context.Context, changed func()) {
	dir := d.path
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	events, poll := subscribe(ctx, d.log, func(w *fsnotify.Watcher) error { return addTree(w, dir) }, d.poll)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	last := fingerprint(dir)
	changed() // before there were events
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			changed()
		case <-tick.C:
			if now := fingerprint(dir); now != last {
				last = now
				changed()
			}
		}
	}
}

// subscribe returns the events of what add adds, and how often to look without
// them. Where the system has no events to give, the channel stays silent.
func subscribe(ctx context.Context, log *slog.Logger, add func(*fsnotify.Watcher) error, poll time.Duration) (<-chan struct{}, time.Duration) {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = add(w); err != nil {
			w.Close()
		}
	}
	if err != nil {
		log.Warn("the system does not tell of changes: looking for them", "every", poll, "error", err)
		return nil, poll
	}
	out := make(chan struct{}, 1)
	go forward(ctx, log, w, out)
	return out, poll * pollFactor
}

func forward(ctx context.Context, log *slog.Logger, w *fsnotify.Watcher, out chan<- struct{}) {
	defer w.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			log.Warn("watching for changes", "error", err) // lost events: polling finds them
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod {
				continue
			}
			if e.Has(fsnotify.Create) {
				if err := addTree(w, e.Name); err != nil {
					log.Warn("watching a new directory", "error", err)
				}
			}
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}
}

// addTree watches dir and what is below. What is no directory, or gone again, is
// not watched itself.
func addTree(w *fsnotify.Watcher, dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case !e.IsDir():
			return nil
		case e.Name() == ".git":
			return fs.SkipDir
		}
		return w.Add(name)
	})
}

// fingerprint changes when a file below dir is added, removed or written.
func fingerprint(dir string) uint64 {
	h := fnv.New64a()
	_ = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone: the next look says so
		}
		if e.IsDir() && e.Name() == ".git" {
			return fs.SkipDir
		}
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			h.Write([]byte(name + "\x00" + info.ModTime().String() + "\x00" + info.Mode().String() + "\x00"))
			h.Write([]byte{byte(info.Size()), byte(info.Size() >> 8), byte(info.Size() >> 16), byte(info.Size() >> 24)})
		}
		return nil
	})
	return h.Sum64()
}

// debounce passes on that something changed once it has been quiet for a while,
// so that a file is read when its writer is done; and after longest at the
// latest, whatever goes on.
func debounce(ctx context.Context, in <-chan struct{}, quiet, longest time.Duration) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-in:
			}
			if !settle(ctx, in, quiet, longest) {
				return
			}
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

func settle(ctx context.Context, in <-chan struct{}, quiet, longest time.Duration) bool {
	end := time.NewTimer(longest)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-end.C:
			return true
		case <-in:
		case <-time.After(quiet):
			return true
		}
	}
}

// isGitPath reports whether the repository is read from git, whose updates of a
// branch are whole by themselves.
func isGitPath(path string) bool { return strings.HasPrefix(path, gitPrefix) }
