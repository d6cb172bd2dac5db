package load

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/parallel"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// cueRepo is what the CUE packages of one run share. It is read-only while they
// are evaluated.
type cueRepo struct {
	*loader
	files    map[string]*file              // by path
	packages map[string]map[string][]*file // by directory and package name; "" for plain files
	modules  map[string]string             // module path by the directory of its cue.mod
	provided *providedModule
}

// cuePackage is one unit of evaluation: the files of one package in a directory
// and those of the same package above it, or one file without a package.
type cuePackage struct {
	name  string // unit name
	dir   string
	pkg   string
	files []*file
}

// cuePackages evaluates the CUE packages and plain CUE files. Repositories
// without CUE do not get here.
func (l *loader) cuePackages(files []*file) {
	r := &cueRepo{loader: l, files: map[string]*file{}, packages: map[string]map[string][]*file{}, modules: map[string]string{}}
	var size int64
	hash := sha256.New()
	for _, f := range files {
		if path.Ext(f.path) == ".cue" {
			r.files[f.path] = f
			size += int64(len(f.data))
			fmt.Fprintf(hash, "%q %x\n", f.path, f.digest)
		}
	}
	if len(r.files) == 0 {
		return
	}
	if size > l.limits.CUEBytes {
		l.diags.Errorf(CodeLimit, source.Span{File: slices.Min(slices.Collect(maps.Keys(r.files)))},
			"%d bytes of CUE are more than the limit of %d: CUE is not evaluated", size, l.limits.CUEBytes)
		return
	}
	r.provided = provide(l.opt.Modules)
	fmt.Fprintf(hash, "%x %x\n", r.provided.digest, l.options)
	hash.Sum(l.out.cueKey[:0])
	if l.opt.Previous != nil && l.opt.Previous.cueKey == l.out.cueKey {
		for _, u := range l.opt.Previous.units {
			if strings.HasPrefix(u.name, cueUnit) {
				l.units[u.name] = u
			}
		}
		return
	}
	todo := r.discover()
	done := make([]*unit, len(todo))
	parallel.Do(len(todo), 1, func(i int) { done[i] = r.evaluate(todo[i]) })
	for i, p := range todo {
		l.units[p.name] = done[i]
	}
}

// cueUnit begins the names of CUE units. No file name has a NUL.
const cueUnit = "cue\x00"

// discover sorts the files into packages. What CUE's own loader leaves out is
// left out here: tools, tests, vendored modules, files and directories that
// begin with an underscore.
func (r *cueRepo) discover() []cuePackage {
	rest := &unit{}
	r.units[cueUnit] = rest
	var todo []cuePackage
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		f := r.files[name]
		if path.Base(path.Dir(name)) == "cue.mod" {
			if path.Base(name) == "module.cue" {
				r.modules[path.Dir(path.Dir(name))] = modulePath(f.data)
			}
			continue
		}
		pkg, skip := clause(f, rest)
		if skip || leftOut(name) {
			rest.foreign = append(rest.foreign, Foreign{Span: source.At(name, 1, 1)})
			continue
		}
		dir := path.Dir(name)
		if r.packages[dir] == nil {
			r.packages[dir] = map[string][]*file{}
		}
		r.packages[dir][pkg] = append(r.packages[dir][pkg], f)
		if pkg == "" && !vendored(name) {
			todo = append(todo, cuePackage{name: cueUnit + name, dir: dir, files: []*file{f}})
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(r.packages)) {
		for _, pkg := range slices.Sorted(maps.Keys(r.packages[dir])) {
			if pkg != "" && !vendored(dir+"/") {
				todo = append(todo, cuePackage{name: cueUnit + dir + ":" + pkg, dir: dir, pkg: pkg, files: r.filesOf(dir, pkg)})
			}
		}
	}
	return todo
}

func leftOut(name string) bool {
	base := path.Base(name)
	if strings.HasSuffix(base, "_tool.cue") || strings.HasSuffix(base, "_test.cue") {
		return true
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, "_") {
			return true
		}
	}
	return false
}

func vendored(name string) bool {
	return strings.HasPrefix(name, "cue.mod/") || strings.Contains(name, "/cue.mod/")
}

// clause returns the package name of a file, "" where there is none, and
// whether attributes leave the file out of the build.
func clause(f *file, u *unit) (pkg string, skip bool) {
	parsed, err := parser.ParseFile(f.path, f.data, parser.PackageClauseOnly)
	if err != nil {
		return "", false // reported when the whole file is parsed
	}
	for _, decl := range parsed.Decls {
		a, ok := decl.(*ast.Attribute)
		if !ok {
			break
		}
		switch key, _ := a.Split(); key {
		case "ignore":
			return "", true
		case "if":
			at := position(a.Pos())
			u.diags.Add(CodeUnrendered, diag.Info, at, "%s: this file is not read, since tags cannot be set here", a.Text)
			return "", true
		}
	}
	if pkg = parsed.PackageName(); pkg == "_" {
		pkg = ""
	}
	return pkg, false
}

// filesOf returns the files of a package: those in dir and those of the same
// package in the directories above it, up to the module's root.
func (r *cueRepo) filesOf(dir, pkg string) []*file {
	files := slices.Clone(r.packages[dir][pkg])
	root := r.moduleRoot(dir)
	for dir != root && dir != "." {
		dir = path.Dir(dir)
		files = append(files, r.packages[dir][pkg]...)
	}
	slices.SortFunc(files, func(a, b *file) int { return strings.Compare(a.path, b.path) })
	return files
}

// moduleRoot is the nearest directory with a cue.mod, or the repository's root.
func (r *cueRepo) moduleRoot(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := r.modules[dir]; ok {
			return dir
		}
	}
	return "."
}

// modulePath reads the module's path, without its major version.
func modulePath(moduleFile []byte) string {
	name, err := cuecontext.New().CompileBytes(moduleFile).LookupPath(cueModuleField).String()
	if err != nil {
		return ""
	}
	return ast.ParseImportPath(name).Path
}

// providedModule is Options.Modules.
type providedModule struct {
	path   string
	files  map[string][]*file // by directory
	digest [sha256.Size]byte
}

func provide(fsys fs.FS) *providedModule {
	m := &providedModule{files: map[string][]*file{}}
	if fsys == nil {
		return m
	}
	hash := sha256.New()
	// The file system is our own: what cannot be read is not there to import.
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".cue" {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%q %x\n", name, sha256.Sum256(data))
		if name == "cue.mod/module.cue" {
			m.path = modulePath(data)
			return nil
		}
		m.files[path.Dir(name)] = append(m.files[path.Dir(name)], &file{path: name, data: data, digest: sha256.Sum256(data)})
		return nil
	})
	hash.Sum(m.digest[:0])
	return m
}

// position makes a span of a CUE position.
func position(p token.Pos) source.Span {
	at := p.Position()
	return source.At(at.Filename, at.Line, at.Column)
}

// span covers an AST node.
func span(n ast.Node) source.Span {
	s := position(n.Pos())
	if end := n.End().Position(); end.IsValid() {
		s.End = source.Pos{Line: end.Line, Column: end.Column}
	}
	return s
}
