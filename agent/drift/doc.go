// Package drift finds out whether an Envoy runs what it is to run.
//
// In go a verified slice as it was served ([Want]) and Envoy's admin interface;
// out come the differences, in words. Nothing is changed.
//
// What can differ on an Envoy that takes its configuration from one agent
// (found with 1.40): listeners that somebody stopped by the admin interface,
// which /config_dump and /listeners go on to show; what was served by another
// process on the agent's socket while the agent was away, which may even call it
// by the right version; and what the command line added to the bootstrap. A
// runtime that could be modified is such an addition.
package drift
