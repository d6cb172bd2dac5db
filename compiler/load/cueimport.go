package load

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

var cueModuleField = cue.ParsePath("module")

// cueBuild loads one package and what it imports: from its module in the
// repository, from cue.mod/{pkg,usr,gen}, and from the provided module. There
// is no registry.
type cueBuild struct {
	*cueRepo
	ctx     *build.Context
	root    string // directory of the module
	stack   []string
	sources map[string]*ast.File // the repository's files, by path
	used    []*file              // all files that went in
}

// instance builds the instance of a package.
func (b *cueBuild) instance(p cuePackage) *build.Instance {
	inst := b.ctx.NewInstance(p.dir, b.load)
	b.add(inst, p.files, "")
	if inst.Err == nil {
		complete(inst)
	}
	return inst
}

func complete(inst *build.Instance) {
	if err := inst.Complete(); err != nil {
		inst.Err = errors.Promote(err, "loading the imports")
	}
}

// add parses files into an instance. Files of the provided module get a prefix,
// to tell their positions from the repository's.
func (b *cueBuild) add(inst *build.Instance, files []*file, prefix string) {
	for _, f := range files {
		parsed, err := parser.ParseFile(prefix+f.path, f.data)
		if err != nil {
			inst.Err = errors.Append(inst.Err, errors.Promote(err, ""))
			continue
		}
		if prefix == "" {
			b.sources[f.path] = parsed
		}
		b.used = append(b.used, f)
		if err := inst.AddSyntax(parsed); err != nil {
			inst.Err = errors.Append(inst.Err, err)
		}
	}
}

// load answers an import. Nil leaves it to CUE's standard library.
func (b *cueBuild) load(pos token.Pos, importPath string) *build.Instance {
	if first, _, _ := strings.Cut(importPath, "/"); !strings.Contains(first, ".") {
		return nil
	}
	inst := b.ctx.NewInstance(importPath, b.load)
	inst.ImportPath = importPath
	if slices.Contains(b.stack, importPath) {
		inst.Err = errors.Newf(pos, "import cycle: %s", strings.Join(append(b.stack, importPath), " imports "))
		return inst
	}
	files, prefix := b.find(importPath)
	if len(files) == 0 {
		inst.Err = errors.Newf(pos, "package %q is neither in this repository nor provided: commit it below the module or cue.mod/pkg, nothing is fetched", importPath)
		return inst
	}
	b.stack = append(b.stack, importPath)
	defer func() { b.stack = b.stack[:len(b.stack)-1] }()
	b.add(inst, files, prefix)
	if inst.Err == nil {
		complete(inst)
	}
	return inst
}

// find returns the files of an imported package.
func (b *cueBuild) find(importPath string) (files []*file, prefix string) {
	parts := ast.ParseImportPath(importPath)
	if dir, ok := below(b.modules[b.root], parts.Path); ok {
		if files := b.filesOf(path.Join(b.root, dir), parts.Qualifier); len(files) > 0 {
			return files, ""
		}
	}
	if dir, ok := below(b.provided.path, parts.Path); ok && len(b.provided.files[dir]) > 0 {
		return b.provided.files[dir], b.provided.path + "/"
	}
	for _, kind := range []string{"pkg", "usr", "gen"} {
		files = append(files, b.packages[path.Join(b.root, "cue.mod", kind, parts.Path)][parts.Qualifier]...)
	}
	return files, ""
}

// below returns the directory of an import path within a module.
func below(module, importPath string) (dir string, ok bool) {
	if module == "" {
		return "", false
	}
	if module == importPath {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// key digests everything that the package was built from.
func (b *cueBuild) key() [sha256.Size]byte {
	hash := sha256.New()
	fmt.Fprintf(hash, "%x %q %v\n", b.options, b.opt.DefaultNamespace, b.limits)
	for _, f := range b.used {
		fmt.Fprintf(hash, "%q %x\n", f.path, f.digest)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
