// Package store keeps the content of releases where every role finds it: in a
// directory that they share, or in an OCI registry.
//
// In go compiled releases; out they come again, by the digest of their content,
// with every blob checked against its own digest, so that a store is not trusted:
// it can lose a release, not change one. Signatures are kept with Release
// objects, not here. Beside contents it keeps files, such as the objects that a
// release was made of.
//
// What a change costs follows the change: blobs that the release before has are
// neither written, read nor hashed again.
//
// The package also pushes and pulls signed releases as one OCI artifact each. It
// verifies no signature and holds no key; credentials for a registry are those of
// the docker configuration file.
package store
