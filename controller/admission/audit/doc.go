// Package audit keeps the AuditReports of a cluster: what admission would say of the
// objects that are there, those included that came before it, while it was down, or
// into namespaces that it does not refuse in.
//
// In go the findings on everything; out comes one report for each namespace that has
// any, bounded. It judges nothing, and writes nothing where nothing changed.
package audit
