# The decision about one request: any rule that denies, else any that allows,
# else what the port does by default. Rules come from package
# mesh_compile.rules, which is generated for each workload; of several that
# hold, the one whose id sorts first is named, as in Envoy's RBAC.
package mesh_compile.authz

import data.mesh_compile.request
import data.mesh_compile.rules

default allow := false

allow := decision.allow

decision := {"allow": false, "rule": min(rules.denied)} if {
	count(rules.denied) > 0
} else := {"allow": true, "rule": ""} if {
	complete
	request.port in rules.open
} else := {"allow": true, "rule": min(rules.allowed)} if {
	complete
	count(rules.allowed) > 0
} else := {"allow": false, "rule": ""}

# Package headers is there only in bundles with a condition on headers.
complete if {
	request.complete
	not data.mesh_compile.headers.incomplete
}
