package floor

import (
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
)

// Policy is what is refused of objects of a kind, or of several.
type Policy struct {
	Kinds []Kind
	// Lists that rules look into, in CEL, by the name of a variable.
	Lists map[string]string
	Rules []Rule
}

// Kind is a kind of objects.
type Kind struct {
	Group, Kind, Resource string
	Versions              []string
}

// Rule refuses an object in CEL, where x is each item of a list, or the object.
type Rule struct {
	Code diag.Code
	In   string // name of a list; "" is the object itself
	// Bad says that x breaks the rule. Field, Message and Fix are strings in CEL that
	// say it of x as the compiler does; in Field, %s is the index of x.
	Bad, Field, Message, Fix string
}

// value is a rule about a value of the right type that the field does not take.
func value(in, bad, field, message, fix string) Rule {
	return Rule{Code: translate.CodeValue, In: in, Bad: bad, Field: field, Message: message, Fix: fix}
}

// unsupported is a rule about something that is not implemented.
func unsupported(in, bad, field, message, fix string) Rule {
	return Rule{Code: translate.CodeUnsupported, In: in, Bad: bad, Field: field, Message: message, Fix: fix}
}

const noEffect = "remove it: it would have no effect"

// absent refuses a native field of x that is not implemented yet.
func absent(in, path, field, fix string) Rule {
	parent := "x"
	if in == "" {
		parent = "x.spec"
	}
	return unsupported(in, fmt.Sprintf("has(%s.%s)", parent, field), path+"."+field, quote("field "+field+" is not supported yet"), quote(fix))
}

func weights(in, bad, field, message string) Rule {
	return Rule{Code: check.Weights, In: in, Bad: bad, Field: field, Message: message}
}

// quote is a constant as a string in CEL. Constants of this package have no
// backslashes.
func quote(s string) string { return "'" + s + "'" }

// quoted is quote of a text that is not written for CEL.
func quoted(s string) string { return quote(strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)) }
