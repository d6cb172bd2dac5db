package load

import "github.com/mesh-compile/mesh-compile/compiler/diag"

// Codes of the loader's diagnostics.
const (
	// CodeRead: a file or directory could not be read.
	CodeRead diag.Code = "read"
	// CodeYAML: text that is not YAML. The documents around it are still read.
	CodeYAML diag.Code = "yaml"
	// CodeDuplicateKey: a key stands twice in one object. Kubernetes takes the
	// last, others refuse.
	CodeDuplicateKey diag.Code = "duplicatekey"
	// CodeAmbiguous: a value that YAML readers understand differently, such as
	// an unquoted on, 08 or 1:30, a tag, or a merge key.
	CodeAmbiguous diag.Code = "ambiguous"
	// CodeLimit: input beyond Limits.
	CodeLimit diag.Code = "limit"
	// CodePlaceholder: ${VAR} or $(VAR) without a value.
	CodePlaceholder diag.Code = "placeholder"
	// CodeNamespace: a namespace that is set from two places.
	CodeNamespace diag.Code = "namespace"
	// CodeMetadata: an object without a name, or whose name or namespace
	// Kubernetes would refuse.
	CodeMetadata diag.Code = "metadata"
	// CodeUnrendered: a kustomization or chart that other tools would render.
	CodeUnrendered diag.Code = "unrendered"
	// CodeCUE: an error of CUE's parser, loader or evaluator.
	CodeCUE diag.Code = "cue"
	// CodeSchema: a field that does not exist or has a value of the wrong type.
	CodeSchema diag.Code = "schema"
)
