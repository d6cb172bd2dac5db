package artifact

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// directory returns the release's files, which a test may change.
func directory(r *Release) fstest.MapFS {
	out := fstest.MapFS{}
	for _, f := range r.files() {
		out[f.name] = &fstest.MapFile{Data: bytes.Clone(f.data), Mode: 0o644}
	}
	return out
}

// TestAnyFlippedByteShows: what no blob contradicts, such as the compiler's
// version, still changes the release's digest, which is signed.
func TestAnyFlippedByteShows(t *testing.T) {
	t.Parallel()
	r := mesh(t, nil, 3, nil)
	for name := range directory(r) {
		for _, bit := range []byte{1, 0x80} {
			size := len(directory(r)[name].Data)
			for at := range size {
				dir := directory(r)
				dir[name].Data[at] ^= bit
				if got, err := Read(dir, DefaultLimits); err == nil && got.Digest() == r.Digest() {
					t.Fatalf("%s: byte %d ^ %#x is accepted", name, at, bit)
				}
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	r := mesh(t, nil, 3, nil)
	one := blobFile(r.Leaves()[1].Slice)
	replace := func(dir fstest.MapFS, old, new string) {
		data := string(dir[ManifestFile].Data)
		if !strings.Contains(data, old) {
			panic("the manifest has no " + old)
		}
		dir[ManifestFile].Data = []byte(strings.Replace(data, old, new, 1))
	}
	tests := map[string]struct {
		change func(fstest.MapFS)
		limits Limits
		want   string
	}{
		"no manifest":     {change: func(d fstest.MapFS) { delete(d, ManifestFile) }, want: "manifest: not there"},
		"missing blob":    {change: func(d fstest.MapFS) { delete(d, one) }, want: "missing"},
		"truncated blob":  {change: func(d fstest.MapFS) { d[one].Data = d[one].Data[:9] }, want: one},
		"swapped blob":    {change: func(d fstest.MapFS) { d[one].Data = []byte("x") }, want: "the content has digest"},
		"unneeded blob":   {change: func(d fstest.MapFS) { d[blobFile(DigestOf(nil))] = &fstest.MapFile{} }, want: "nothing in the manifest"},
		"foreign file":    {change: func(d fstest.MapFS) { d["evil.sh"] = &fstest.MapFile{} }, want: "evil.sh: no file of a release"},
		"upper-case name": {change: func(d fstest.MapFS) { d[strings.ToUpper(one)] = &fstest.MapFile{} }, want: "no file of a release"},
		"symlink":         {change: func(d fstest.MapFS) { d[one].Mode = fs.ModeSymlink }, want: "not a regular file"},
		"unknown field":   {change: func(d fstest.MapFS) { replace(d, `{"format"`, `{"x":1,"format"`) }, want: "unknown field"},
		"duplicate field": {change: func(d fstest.MapFS) { replace(d, `"aux":`, `"aux":{},"aux":`) }, want: "duplicate field"},
		"white space":     {change: func(d fstest.MapFS) { replace(d, `"aux":`, ` "aux":`) }, want: "canonical"},
		"other format":    {change: func(d fstest.MapFS) { replace(d, "release.v1", "release.v2") }, want: "release.v2"},
		"other root":      {change: func(d fstest.MapFS) { replace(d, r.Tree().Root().Hex(), DigestOf(nil).Hex()) }, want: "merkle"},
		"other workload":  {change: func(d fstest.MapFS) { replace(d, `"shop/w1"`, `"shop/w9"`) }, want: "merkle"},
		"two leaves, one key": {change: func(d fstest.MapFS) {
			replace(d, `"spiffe://mesh/ns/shop/sa/s0","workload":"shop/w1"`, `"spiffe://mesh/ns/shop/sa/s0","workload":"shop/w0"`)
		}, want: "two leaves"},
		"bundle as a slice": {change: func(d fstest.MapFS) {
			replace(d, r.Leaves()[1].Slice.Hex(), r.Leaves()[1].Bundle.Hex())
		}, want: "malformed"},
		"null names":     {change: func(d fstest.MapFS) { replace(d, `"shared":{`, `"shared":null,"aux2":{`) }, want: "manifest"},
		"too many files": {limits: Limits{Files: 3, Blob: 1e6, Index: 1e6, Total: 1e6}, want: "more than 3 files"},
		"long blob":      {limits: Limits{Files: 1e6, Blob: 10, Index: 1e6, Total: 1e6}, want: "more than the 10 bytes"},
		"long manifest":  {limits: Limits{Files: 1e6, Blob: 1e6, Index: 10, Total: 1e6}, want: "manifest: more than the 10 bytes"},
		"too much":       {limits: Limits{Files: 1e6, Blob: 1e6, Index: 1e6, Total: int64(len(r.Manifest()) + 99)}, want: "more than the"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, limits := directory(r), DefaultLimits
			if test.change != nil {
				test.change(dir)
			} else {
				limits = test.limits
			}
			if _, err := Read(dir, limits); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
