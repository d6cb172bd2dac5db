// Package quarantine decides which versions of the objects of a cluster are in force
// when some of them have errors.
//
// In go the objects that the cluster holds, those that the last release was made of
// (the accepted ones), and a way to compile; out come a compilation without errors,
// the objects that it was made of, and those that are held back, with the finding that
// is the reason. The package keeps nothing and talks to nobody.
//
// # The rule
//
// An object with an error is held back: its last accepted version stays in force, and
// where it never had one it is left out. An error between two objects is the fault of
// the one that changed; of two that did, one is taken: rather one that was accepted
// before than a new one, and last one that was held back before and is the same. Facts
// (Services, Deployments) are at fault only for what is wrong in themselves, and for
// what they would do to an object that restricts: a route to a Service that is gone is
// left out, since nothing can bring the Service back.
//
// No deny is dropped. The dialect table says which kinds restrict (Kind.Restricts).
//
//   - While one of them is held back, the whole namespace stays as it was accepted,
//     policies and facts, also what was deleted there: what else its owners changed may
//     count on the rule that is not in force. Where the namespace never was accepted,
//     nothing of it is in the release. Its workloads get no configuration, and so are
//     closed. A change of a fact that is held back holds its namespace in the same way,
//     since policies may be written for what it was to become.
//   - One that has an error though it did not change is never left out. Its namespace
//     goes back to what was accepted; if that does not help, the namespaces that the
//     finding names.
//   - What has no namespace counts as one namespace of its own. If one that speaks for
//     the whole mesh never was accepted, the release is refused: nothing narrower could
//     be closed for it.
//   - Deleting one is a change like others, and takes effect.
//
// No namespace stops the others. Where nothing single can be held back, or errors follow
// one from another for too long, whole namespaces go back to what was accepted, until the
// errors are gone: first those that the findings name, of those the ones first in which a
// fact was changed or deleted, since no finding names what is not there. At the end the
// objects are what was accepted. The release is refused only where that has errors, too
// (the file of another source changed), or must not be done (a source refuses errors).
//
// Nothing changes by the clock. What expires while it is in force as it was accepted stays
// in force, is listed, and its namespace stays as it was accepted until it is mended.
//
// What is held back in vain, or only for another object's error, is found by trying to
// take it: first the namespaces, all of them, then objects, of each namespace so many that
// 64 compilations try them, by halves. An error of which no object of the cluster is the
// cause refuses the release.
package quarantine
