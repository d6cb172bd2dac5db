package open

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// Git opens the tree or file sub of a revision in the repository around dir. It
// reads objects, not an archive: git archive honours export-ignore,
// export-subst and line-end conversion of the tree's own .gitattributes, so
// that a commit could hide a file from its reader.
func Git(ctx context.Context, dir, rev, sub string) (*Tree, error) {
	name := strings.TrimSuffix(rev+":"+sub, ":")
	if rev == "" || strings.HasPrefix(rev, "-") {
		return nil, fmt.Errorf("git revision %q: want a branch, tag or commit, as in git:main or git:HEAD~1:policies", rev)
	}
	g := git{ctx: ctx, dir: dir}
	commit, err := g.line("rev-parse", "--verify", "--end-of-options", rev+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("resolving git revision %s: %w", rev, notFound(err, "no such branch, tag or commit here"))
	}
	object := commit + "^{tree}"
	if sub = path.Clean("/" + sub)[1:]; sub != "" {
		object = commit + ":" + sub
	}
	hash, err := g.line("rev-parse", "--verify", "--end-of-options", object)
	if err != nil {
		return nil, fmt.Errorf("finding %s in git revision %s: %w", sub, rev, notFound(err, "no such file or directory there"))
	}
	m := newMemory()
	within, err := g.read(m, hash, sub)
	if err != nil {
		return nil, fmt.Errorf("reading git revision %s: %w", name, err)
	}
	t, err := m.treeAt(name, within)
	if err != nil {
		return nil, err
	}
	t.Commit, t.TreeHash = commit, hash
	return t, nil
}

// notFound says in our words what "Needed a single revision" means.
func notFound(err error, meaning string) error {
	if strings.Contains(err.Error(), "Needed a single revision") {
		return errors.New(meaning)
	}
	return err
}

type git struct {
	ctx context.Context
	dir string
}

// command runs git without prompting, fetching or the repository's own helpers.
func (g git) command(args ...string) *exec.Cmd {
	args = append([]string{"--no-replace-objects", "-c", "core.fsmonitor=false", "-C", g.dir}, args...)
	cmd := exec.CommandContext(g.ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	return cmd
}

func (g git) output(args ...string) ([]byte, error) {
	cmd := g.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return nil, fmt.Errorf("git: %s", strings.TrimPrefix(text, "fatal: "))
		}
		return nil, fmt.Errorf("running git: %w", err)
	}
	return stdout.Bytes(), nil
}

func (g git) line(args ...string) (string, error) {
	out, err := g.output(args...)
	return strings.TrimSpace(string(out)), err
}

// blob is one file to read.
type blob struct {
	name, hash string
	link       bool
}

// read reads a tree or a file and returns the directory that names count from.
func (g git) read(m *memory, hash, sub string) (string, error) {
	kind, err := g.line("cat-file", "-t", hash)
	if err != nil {
		return "", err
	}
	if kind == "blob" {
		return path.Dir(sub), g.contents(m, []blob{{name: path.Base(sub), hash: hash}})
	}
	blobs, err := g.list(hash)
	if err != nil {
		return "", err
	}
	return sub, g.contents(m, blobs)
}

// list names the policy files of a tree. Submodules have no files here.
func (g git) list(tree string) ([]blob, error) {
	out, err := g.output("ls-tree", "-r", "-z", "--full-tree", tree)
	if err != nil {
		return nil, err
	}
	var blobs []blob
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		about, name, _ := strings.Cut(line, "\t")
		fields := strings.Fields(about) // mode, type, hash
		if len(fields) != 3 || fields[1] != "blob" || !wanted(name) {
			continue
		}
		blobs = append(blobs, blob{name: name, hash: fields[2], link: fields[0] == "120000"})
	}
	return blobs, nil
}

// contents reads blobs through one cat-file --batch.
func (g git) contents(m *memory, blobs []blob) error {
	if len(blobs) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(g.ctx)
	defer cancel()
	cmd := git{ctx: ctx, dir: g.dir}.command("cat-file", "--batch")
	var asked bytes.Buffer
	for _, b := range blobs {
		fmt.Fprintln(&asked, b.hash)
	}
	cmd.Stdin = &asked
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running git: %w", err)
	}
	in := bufio.NewReader(out)
	for _, b := range blobs {
		if err := m.blob(b, in); err != nil {
			cancel()
			_ = cmd.Wait() // its error is that it was ended
			return err
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("running git: %w", err)
	}
	return nil
}

// blob reads one answer: "hash blob size", the content, a line feed.
func (m *memory) blob(b blob, in *bufio.Reader) error {
	header, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading %s: %w", b.name, err)
	}
	fields := strings.Fields(header)
	if len(fields) != 3 {
		return fmt.Errorf("reading %s: git says %s", b.name, strings.TrimSpace(header))
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return fmt.Errorf("reading %s: git says %s", b.name, strings.TrimSpace(header))
	}
	content := &io.LimitedReader{R: in, N: size}
	if b.link {
		var target []byte
		if target, err = io.ReadAll(io.LimitReader(content, 4096)); err == nil {
			err = m.link(b.name, string(target))
		}
	} else {
		err = m.add(b.name, content)
	}
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, in, content.N+1)
	return err
}
