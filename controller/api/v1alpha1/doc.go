// Package v1alpha1 is the native policy language of mesh-compile: the documents
// that people write in git and the custom resources that a cluster stores, as
// one set of Go structs.
//
// In: nothing; out: types. CRDs, JSON Schema, CUE definitions and the reference
// pages are generated from these structs and their comments (go generate
// ./schemas). The structs describe the shape of one document. What needs a
// second document or a computation (names that resolve, weights that sum) is
// checked by the compiler and never here.
//
// A pointer marks a field whose presence matters; every other omitted field
// equals its zero value. No field has a default that is stored.
//
// +kubebuilder:object:generate=true
// +groupName=mesh-compile.dev
package v1alpha1
