// Package render writes the documents of a policy repository as one YAML stream:
// CUE evaluated, placeholders filled in, namespaces as the compiler judged them.
//
// In go the repository and the options that it was linted with; out comes what an
// API server takes, with the place of each document in an annotation. Objects of
// other groups come through, because whoever applies the stream may prune what is
// not in it; a kustomization is no object and does not. The package checks nothing:
// lint does.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// SourceAnnotation names the file and line that an object comes from.
const SourceAnnotation = "mesh-compile.dev/source"

// kustomize is the group of files that say how to render others.
const kustomize = "kustomize.config.k8s.io"

// Options are those of a compilation.
type Options struct {
	Namespace string
	Set       map[string]string
}

// Load reads the documents of a tree, other groups' included. Left are the YAML
// documents that are no objects.
func Load(fsys fs.FS, opt Options) (docs []*load.Document, left []load.Foreign, diags diag.List) {
	files, diags := load.Load(fsys, load.Options{
		DefaultNamespace: opt.Namespace, Set: opt.Set, Modules: schemas.CUE(),
		Groups: func(group, kind string) load.Reading {
			r := dialect.Reading(group, kind)
			r.Read = r.Read || group != kustomize
			return r
		},
	})
	for _, d := range files.Documents {
		if d.Group() != kustomize {
			docs = append(docs, d)
		}
	}
	return docs, files.Foreign, diags
}

// Text writes documents in their order.
func Text(docs []*load.Document) ([]byte, error) {
	var b bytes.Buffer
	for _, d := range docs {
		text, err := object(d)
		if err != nil {
			return nil, fmt.Errorf("rendering %s at %s: %w", d.Object(), d.Span, err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.Bytes(), nil
}

// object returns a document as Kubernetes' own writer of YAML prints it: with
// sorted keys, and quotes around whatever a reader of YAML 1.1 may take for
// something else than a string.
func object(d *load.Document) ([]byte, error) {
	v, err := value(d.Root)
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it is %s, want an object", d.Root.Kind)
	}
	metadata, ok := fields["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		fields["metadata"] = metadata
	}
	if stated := d.Root.At("metadata", "namespace"); d.Namespace != "" && (stated != nil || known(d)) {
		metadata["namespace"] = d.Namespace
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[SourceAnnotation] = fmt.Sprintf("%s:%d", d.Span.File, d.Span.Start.Line)
	return encode(fields)
}

// known reports whether it is known that objects of the kind have a namespace.
func known(d *load.Document) bool {
	r := dialect.Reading(d.Group(), d.Kind)
	return r.Read && !r.Cluster
}

func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(text)
}

// value turns a node into what encoding/json prints. Numbers keep their digits.
func value(n *load.Node) (any, error) {
	switch n.Kind {
	case load.Null:
		return nil, nil
	case load.Bool:
		return n.Text == "true", nil
	case load.Int, load.Float:
		if !json.Valid([]byte(n.Text)) {
			return nil, fmt.Errorf("number %s at %s: an API server takes none such", n.Text, n.Span)
		}
		return json.Number(n.Text), nil
	case load.List:
		return list(n)
	case load.Map:
		return fields(n)
	}
	return n.Text, nil
}

func list(n *load.Node) (any, error) {
	out := make([]any, len(n.Items))
	for i, item := range n.Items {
		v, err := value(item)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func fields(n *load.Node) (any, error) {
	out := make(map[string]any, len(n.Fields))
	for _, f := range n.Fields {
		v, err := value(f.Value)
		if err != nil {
			return nil, err
		}
		out[f.Key] = v
	}
	return out, nil
}
