// Package follow keeps the deliver role serving what the Releases of a cluster say.
//
// In go Release objects, the root document and the release store; out comes what
// [deliver.Server] serves to whom, and before that the endpoints of its clusters
// and the roots of its clients. Of the releases whose signature the root document
// accepts and whose content is the signed one, the highest sequence is live; where
// its rollout has not come, the newest complete one before it is served.
//
// It signs nothing and writes nothing. It never goes back: when objects are
// deleted, contents cannot be read or signatures are not believed, what is served
// stays.
package follow
