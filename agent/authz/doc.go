// Package authz answers Envoy's ext_authz requests with the workload's OPA
// bundle, evaluated in this process.
//
// In go a verified bundle and Envoy's description of a request; out comes allow
// or deny, and the rule that decided. Whatever is not a clear allow is a deny:
// 403 when the policy says no or says nothing, 503 when it cannot be asked.
//
// The bundle runs without network and environment: the builtins that reach
// them are not there to be called. There are no OPA plugins, no discovery, and
// no second source of policy.
//
// # Contract with the bundle
//
// The rule data.mesh_compile.authz.decision is an object {"allow": boolean,
// "rule": id}; a bundle without it may define a boolean
// data.mesh_compile.authz.allow. The input is that of opa-envoy-plugin, as far
// as the policy reads it, made from the path that Envoy has normalized:
//
//	attributes.request.http.{method,path,host,scheme,protocol,headers,headerLines}
//	attributes.{source,destination}.address.socketAddress.{address,portValue}
//	attributes.{source,destination}.principal
//	attributes.tlsSession.sni
//	parsed_path, parsed_query
//
// headers are strings, several lines of one name joined by a comma. headerLines,
// which the plugin does not have, are lists: Envoy's RBAC compares each line, and
// a bundle that is to decide the same reads these.
//
// parsed_path is split at "/" before each segment is unescaped; the plugin
// unescapes first, so that its "/a%2Fb" has two segments and Envoy's one.
package authz
