package main

import (
	"bytes"
	"io"
	"path"

	"sigs.k8s.io/controller-tools/pkg/deepcopy"
	"sigs.k8s.io/controller-tools/pkg/genall"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
)

// writeDeepCopy makes the DeepCopy methods, as controller-gen object does.
func writeDeepCopy(m *model, files map[string][]byte) error {
	registry := &markers.Registry{}
	var g deepcopy.Generator
	if err := g.RegisterMarkers(registry); err != nil {
		return err
	}
	return g.Generate(&genall.GenerationContext{
		Collector:  &markers.Collector{Registry: registry},
		Roots:      m.roots,
		Checker:    &loader.TypeChecker{NodeFilters: []loader.NodeFilter{g.CheckFilter()}},
		OutputRule: output(files),
		InputRule:  genall.InputFromFileSystem,
	})
}

// output takes generated Go files of the API package.
type output map[string][]byte

func (o output) Open(_ *loader.Package, name string) (io.WriteCloser, error) {
	return &outputFile{to: o, name: path.Join(apiPackage, name)}, nil
}

type outputFile struct {
	bytes.Buffer
	to   output
	name string
}

func (f *outputFile) Close() error {
	f.to[f.name] = f.Bytes()
	return nil
}
