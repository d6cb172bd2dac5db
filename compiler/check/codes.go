package check

import "github.com/mesh-compile/mesh-compile/compiler/diag"

// Codes of this package's findings; Pages explains them.
const (
	UnknownDestination diag.Code = "unknowndestination"
	UnknownVersion     diag.Code = "unknownversion"
	PortMismatch       diag.Code = "portmismatch"
	Weights            diag.Code = "weights"
	DuplicateHost      diag.Code = "duplicatehost"
	DuplicateObject    diag.Code = "duplicateobject"
	DuplicatePolicy    diag.Code = "duplicatepolicy"
	RegexLimit         diag.Code = "regexlimit"
	MissingGrant       diag.Code = "grant"
	MTLSConflict       diag.Code = "mtlsconflict"
	SelectsNothing     diag.Code = "selectsnothing"
	HTTPOnly           diag.Code = "httponly"
	Expired            diag.Code = "expired"
	OwnAssumption      diag.Code = "ownassumption"
	DialectDefaults    diag.Code = "dialectdefaults"
	ReservedPort       diag.Code = "reservedport"
	EgressAddress      diag.Code = "egressaddress"
	UnknownGateway     diag.Code = "unknowngateway"
	GatewayHost        diag.Code = "gatewayhost"
	GatewayRoutes      diag.Code = "gatewayroutes"
	UnknownRule        diag.Code = "unknownrule"
	PortConflict       diag.Code = "portconflict"
	ListenerConflict   diag.Code = "listenerconflict"
	Unsupported        diag.Code = "unsupported"
)
