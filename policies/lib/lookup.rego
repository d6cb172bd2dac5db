# Rules of exact callers, methods and paths as a table: what would be too many
# rules to prepare is one lookup. The table is data.mesh_compile.table, by
# action, port, caller, method and path; "" stands for any. Only bundles with a
# table carry this file.
package mesh_compile.lookup

import data.mesh_compile.request

allowed contains id if some id in found(data.mesh_compile.table.allow)

denied contains id if some id in found(data.mesh_compile.table.deny)

found(table) := {id |
	here := table[format_int(request.port, 10)]
	some caller in callers
	some method in methods
	some path in paths
	id := here[caller][method][path]
}

callers contains ""

callers contains request.identity

methods contains ""

methods contains request.method

paths contains ""

paths contains request.path
