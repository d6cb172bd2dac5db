// Package artifact is the release on disk: content-addressed blobs, the slices
// that name them, one leaf for each workload, and the Merkle tree over the
// leaves.
//
// In go resources, bundles and leaves; out comes a [Release], the same bytes
// for the same input whatever the order of assembly, and its form as a
// directory or as one tar+gzip layer. [Read] and [ReadTar] accept nothing that
// [Builder] could not have made.
//
// The package holds no keys, signs nothing and decides nothing about trust:
// package sign does, over the root and the digest found here. It reads no
// clock and no environment, so nothing in a release depends on time, machine
// or path.
//
// # Structure
//
//	leaf   (SPIFFE ID, workload) -> slice, bundle, constraints, agent policy
//	slice  sorted digests of lists
//	list   sorted (type, name, digest, size) of resources
//	blob   deterministic protobuf bytes of one resource
//
// Lists are shared between slices ("all clusters of namespace x"), so a mesh
// where everyone sees everyone does not cost services x workloads.
package artifact
