# Rules of exact callers, methods and paths as a table: what would be too many
# rules to prepare is one lookup. The table is data.mesh_compile.table, by
# action, port, caller, method and path; "" stands for any.
package mesh_compile.lookup

import data.mesh_compile.request

allowed contains id if some id in found(data.mesh_compile.table.allow)

denied contains id if some id in found(data.mesh_compile.table.deny)

found(table) := {id |
	here := table[format_int(request.port, 10)]
	some caller in request.callers
	some method in request.methods
	some path in request.paths
	id := here[caller][method][path]
}
