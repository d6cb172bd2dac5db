package floor

import (
	"fmt"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
)

// The API server shows one failed validation of a policy, and of it one line of 5 KiB:
// what breaks that is replaced by a constant (validator.go of k8s.io/apiserver,
// pkg/admission/plugin/policy/validating). So a policy is one validation, whose line
// lists what every rule found. Long text is cut where it still fits if each character
// takes four bytes, unless all are ASCII.
const (
	separator = " | "
	maxText   = 4400
)

// few of what breaks a rule are listed, as a message costs more than finding it; the
// count is of all.
const few = "[0, 1, 2, 3, 4]"

// variables are the lists, what breaks each rule, how much that is, and its text.
func (p *Policy) variables() []admissionregistration.Variable {
	out := p.lists()
	var sizes, texts []string
	for i := range p.Rules {
		r, found := &p.Rules[i], fmt.Sprintf("found%d", i+1)
		out = append(out, admissionregistration.Variable{Name: found, Expression: r.items() + ".filter(x, " + r.Bad + ")"})
		found = "variables." + found
		sizes = append(sizes, found+".size()")
		texts = append(texts, few+".map(i, i < "+found+".size(), "+found+"[i]).map(x, "+r.text()+")")
	}
	return append(out,
		admissionregistration.Variable{Name: "count", Expression: strings.Join(sizes, " + ")},
		admissionregistration.Variable{Name: "text", Expression: "(" + strings.Join(texts, " + ") + ").join(" + quote(separator) + `).replace('\n', ' ')`})
}

func (p *Policy) validation() admissionregistration.Validation {
	const (
		begin  = "mesh-compile refuses this change: "
		object = "object.kind + ' ' + (has(object.metadata.namespace) ? object.metadata.namespace + '/' : '') + object.metadata.name"
		end    = "mesh-compile explain CODE says more, mesh-compile lint all that the compiler finds"
	)
	text := fmt.Sprintf("(bytes(variables.text).size() <= %d ? variables.text : variables.text.substring(0, bytes(variables.text).size() == variables.text.size() ? %[1]d : %d) + '...')", maxText, maxText/4)
	return admissionregistration.Validation{
		Expression:        "variables.count == 0",
		Message:           begin + end,
		MessageExpression: quote(begin) + " + " + object + " + ': ' + string(variables.count) + ' finding(s): ' + " + text + " + " + quote(separator+end),
	}
}

// text says in the words of lint what x breaks.
func (r *Rule) text() string {
	field := quote(r.Field)
	if before, after, ok := strings.Cut(r.Field, "%s"); ok {
		field = quote(before) + " + string(" + r.items() + ".indexOf(x)) + " + quote(after)
	}
	out := field + " + ': ' + (" + r.Message + ") + " + quote(fmt.Sprintf(" [%s]", r.Code))
	if r.Fix != "" {
		out += " + '; fix: ' + (" + r.Fix + ")"
	}
	return out
}
