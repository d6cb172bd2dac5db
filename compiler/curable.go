package compiler

import (
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// curable are the codes of findings that an object which comes later can cure: the
// service, port, version, grant or workload that is named and not there yet.
var curable = map[diag.Code]bool{
	check.UnknownDestination: true,
	check.UnknownVersion:     true,
	check.PortMismatch:       true,
	check.MissingGrant:       true,
	check.SelectsNothing:     true,
}

// Curable reports whether an object that comes later can cure findings of a code.
// Admission only warns of them, since the objects of a commit arrive in any order; a
// compilation enforces them.
func Curable(code diag.Code) bool { return curable[code] }
