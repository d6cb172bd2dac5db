package compiler

import (
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// curable says of every code whether an object that comes later can cure its findings:
// the service, port, version, grant or workload that is named and not there yet. A test
// demands that a new code is decided here.
var curable = map[diag.Code]bool{
	check.UnknownDestination: true,
	check.UnknownVersion:     true,
	check.UnknownRule:        true,
	check.PortMismatch:       true,
	check.MissingGrant:       true,
	check.SelectsNothing:     true,
	check.UnknownGateway:     true,
	check.GatewayHost:        true,
	check.GatewayRoutes:      true,

	// Of the text alone.
	load.CodeRead:         false,
	load.CodeYAML:         false,
	load.CodeDuplicateKey: false,
	load.CodeAmbiguous:    false,
	load.CodeLimit:        false,
	load.CodePlaceholder:  false,
	load.CodeNamespace:    false,
	load.CodeMetadata:     false,
	load.CodeUnrendered:   false,
	load.CodeCUE:          false,
	load.CodeSchema:       false,

	// Of one object alone.
	translate.CodeUnsupported: false,
	translate.CodeValue:       false,
	translate.CodeProtocol:    false,
	check.Weights:             false,
	check.RegexLimit:          false,
	check.Expired:             false,
	check.ReservedPort:        false,
	check.EgressAddress:       false,

	// Two that contradict each other: the second is refused, and not what is there.
	check.DuplicateHost:    false,
	check.DuplicateObject:  false,
	check.DuplicatePolicy:  false,
	check.MTLSConflict:     false,
	check.ListenerConflict: false,
	check.PortConflict:     false,
	check.HTTPOnly:         false,
	check.OwnAssumption:    false,
	check.DialectDefaults:  false,

	// What a mesh that is well formed must not do. A rule that comes later takes
	// requests away, and never makes these right.
	"invariant":        false,
	"pathprefix":       false,
	"retrymethods":     false,
	"routeshadow":      false,
	"timeoutinversion": false,
	"waiver":           false,

	CodeInternal: false,
}

// Curable reports whether an object that comes later can cure findings of a code.
// Admission only warns of them, since the objects of a commit arrive in any order; a
// compilation enforces them.
func Curable(code diag.Code) bool { return curable[code] }
