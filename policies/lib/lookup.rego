# Rules of exact callers, methods and paths as a table: what would be too many
# rules to prepare is one lookup. The table is data.mesh_compile.table, by
# action, port, caller, method and path; "" stands for any. Only bundles with a
# table carry this file.
package mesh_compile.lookup

import data.mesh_compile.request

# The whole path is one reference, so that OPA reads one value of the table and
# not all of it.
allowed contains data.mesh_compile.table.allow[port][caller][method][path] if {
	some caller in callers
	some method in methods
	some path in paths
}

denied contains data.mesh_compile.table.deny[port][caller][method][path] if {
	some caller in callers
	some method in methods
	some path in paths
}

port := format_int(request.port, 10)

callers contains ""

callers contains request.identity

methods contains ""

methods contains request.method

paths contains ""

paths contains request.path
