package load

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Options of Load. The zero value reads every object strictly.
type Options struct {
	// DefaultNamespace is for namespaced objects that name none and that no
	// kustomization places; "default", as for kubectl, where empty.
	DefaultNamespace string
	// Set gives values to ${VAR} and $(VAR).
	Set map[string]string
	// Groups says how objects of an API group and kind are read. Nil reads all
	// of them strictly. It must answer alike in runs that share Previous.
	Groups func(group, kind string) Reading
	// Previous is an earlier result whose unchanged files are taken over: the
	// same *Document, not a copy.
	Previous *Result
	// Limits bounds the input; zero fields mean DefaultLimits.
	Limits Limits
	// Modules is the module that CUE files may import without a registry: the
	// directory with cue.mod and the packages below it.
	Modules fs.FS
}

// Reading says how objects of one kind are read.
type Reading struct {
	Read    bool // false: foreign, counted and left alone
	Strict  bool // ambiguous values and placeholders without value are errors
	Cluster bool // the kind has no namespace
}

// Limits bounds what Load accepts from a stranger.
type Limits struct {
	Files      int   // files in all
	FileBytes  int64 // bytes of one file
	TotalBytes int64 // bytes in all
	Depth      int   // nesting of one document
	Nodes      int   // values of one document, aliases counted as often as used
	CUEBytes   int64 // bytes of all CUE files, whose evaluation cannot be interrupted
}

// DefaultLimits are far above real repositories.
var DefaultLimits = Limits{
	Files:      100_000,
	FileBytes:  8 << 20,
	TotalBytes: 512 << 20,
	Depth:      64,
	Nodes:      1_000_000,
	CUEBytes:   16 << 20,
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Files:      cmp.Or(l.Files, DefaultLimits.Files),
		FileBytes:  cmp.Or(l.FileBytes, DefaultLimits.FileBytes),
		TotalBytes: cmp.Or(l.TotalBytes, DefaultLimits.TotalBytes),
		Depth:      cmp.Or(l.Depth, DefaultLimits.Depth),
		Nodes:      cmp.Or(l.Nodes, DefaultLimits.Nodes),
		CUEBytes:   cmp.Or(l.CUEBytes, DefaultLimits.CUEBytes),
	}
}

// Result is what a repository holds.
type Result struct {
	Documents []*Document // by file, then in order of appearance
	Files     []FileInfo  // by name
	Foreign   []Foreign   // by file, then in order of appearance

	units  []*unit           // what Previous takes over, by name
	cueKey [sha256.Size]byte // covers all CUE units
	kept   *kept             // nil unless Changes may tell the next run what to read
}

// FileInfo describes a file that was read.
type FileInfo struct {
	Name   string
	Digest string // hex SHA-256 of the content
	Size   int64
}

// Foreign is a document that is not read: another API group, or YAML that is no
// Kubernetes object (APIVersion and Kind are then empty).
type Foreign struct {
	Span       source.Span
	APIVersion string
	Kind       string
}

// unit is the outcome of one file or one CUE package. Key covers everything it
// depends on.
type unit struct {
	name    string // of the file or CUE package
	key     [sha256.Size]byte
	docs    []*Document
	foreign []Foreign
	diags   diag.List
}

// named names a unit. One that was taken over is read by other runs.
func (u *unit) named(name string) *unit {
	if u.name == "" {
		u.name = name
	}
	return u
}

// loader is one run of Load.
type loader struct {
	fsys    fs.FS
	opt     Options
	limits  Limits
	read    func(group, kind string) Reading
	kust    kustomizations
	options [sha256.Size]byte // digest of what all units depend on
	units   map[string]*unit  // by name
	out     Result
	diags   diag.List
}

// Load reads every YAML, JSON and CUE file of fsys. It goes on after errors:
// whatever could be read is in the result. The diagnostics are sorted.
func Load(fsys fs.FS, opt Options) (*Result, diag.List) {
	l := &loader{fsys: fsys, opt: opt, limits: opt.Limits.withDefaults(), read: opt.Groups}
	if l.read == nil {
		l.read = func(string, string) Reading { return Reading{Read: true, Strict: true} }
	}
	l.options = l.digestOfOptions()
	if out, diags := l.readChanges(); out != nil {
		return out, diags
	}
	l.units = map[string]*unit{}
	found := l.walk()
	files := l.readAll(found)
	l.kust = l.readKustomizations(files)
	l.yamlFiles(files)
	l.cuePackages(files)
	return l.finish()
}

// digestOfOptions covers what every unit depends on.
func (l *loader) digestOfOptions() [sha256.Size]byte {
	b := fmt.Appendf(nil, "%q %v\n", l.opt.DefaultNamespace, l.limits)
	for _, k := range slices.Sorted(maps.Keys(l.opt.Set)) {
		b = fmt.Appendf(b, "%q=%q\n", k, l.opt.Set[k])
	}
	return sha256.Sum256(b)
}

// reuse takes a unit over from the previous run if nothing it depends on
// changed.
func (l *loader) reuse(name string, key [sha256.Size]byte) bool {
	old := l.opt.Previous.unit(name)
	if old == nil || old.key != key {
		return false
	}
	l.units[name] = old
	return true
}

// unit finds a unit by name; r may be nil.
func (r *Result) unit(name string) *unit {
	if r == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(r.units, name, func(u *unit, name string) int { return cmp.Compare(u.name, name) })
	if !ok {
		return nil
	}
	return r.units[i]
}

// finish gathers the units in the order of their names, so that neither
// goroutines nor reuse show in the result.
func (l *loader) finish() (*Result, diag.List) {
	n, m := 0, 0
	for _, u := range l.units {
		n, m = n+len(u.docs), m+len(u.foreign)
	}
	l.out.units = make([]*unit, 0, len(l.units))
	l.out.Documents = make([]*Document, 0, n)
	l.out.Foreign = make([]Foreign, 0, m)
	for _, name := range slices.Sorted(maps.Keys(l.units)) {
		u := l.units[name]
		l.out.units = append(l.out.units, u.named(name))
		l.out.Documents = append(l.out.Documents, u.docs...)
		l.out.Foreign = append(l.out.Foreign, u.foreign...)
		l.diags = append(l.diags, u.diags...)
	}
	// Documents of one comprehension share a place and stay in CUE's order.
	slices.SortStableFunc(l.out.Documents, compareDocuments)
	slices.SortStableFunc(l.out.Foreign, func(a, b Foreign) int { return source.Compare(a.Span, b.Span) })
	l.out.Documents = collapse(l.out.Documents)
	whole := len(l.diags) == reported(l.out.units)
	l.diags.Sort()
	if whole {
		l.keep()
	}
	out := l.out // by itself: the loader holds the results of earlier runs
	return &out, l.diags
}

func compareDocuments(a, b *Document) int { return source.Compare(a.Span, b.Span) }
