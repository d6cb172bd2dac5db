// Package serving is the certificates with which replicas of the admit role answer the
// API server, each its own.
//
// In go the roots that the API server's configuration trusts; out come a server's
// certificate that it trusts by then, and the roots of all replicas that live. A new
// root is made known first, and used once the API server knows it, so that no review
// fails while certificates change. Keys stay in the process, or in files that were
// brought; the package reads no Secret through the API server.
package serving
