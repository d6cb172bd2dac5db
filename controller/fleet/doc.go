// Package fleet says what every proxy of a mesh runs, and what keeps it from
// running what it is to run.
//
// In go the reports of replicas and the releases ([Merge], [Of]), or the status
// page of a controller without Kubernetes ([Get]); out come a [Fleet], its table and
// its JSON, and the verdict on one release ([Fleet.Reached]). Nothing here asks a
// proxy or changes anything, and time is an argument.
package fleet
