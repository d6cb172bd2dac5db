package check

// Amended reports whether the run amended the one before instead of checking all.
func (m *Mesh) Amended() bool { return m.state.amended }

// RegexProblem says why Envoy may refuse an expression.
var RegexProblem = regexProblem
