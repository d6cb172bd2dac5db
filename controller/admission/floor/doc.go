// Package floor is what holds while no webhook answers: those rules of the compiler
// that one object alone can break, as ValidatingAdmissionPolicies, which the API
// server evaluates itself.
//
// In goes nothing but the table of rules; out come the manifests of deploy/base. A
// rule is here only if the compiler refuses the object too, with the same code and
// words, whatever else is in the mesh. So what a Waiver may accept, what another
// object can cure and what depends on who calls is not: the webhook and the compiler
// judge that.
package floor
