package translate

// KindReference is what becomes of each field of a kind, for the reference pages.
type KindReference struct {
	Kind     string
	Versions []string // "group/version"
	Objects  []ObjectReference
}

// ObjectReference is one object of a kind: first the spec, then what lies within it.
type ObjectReference struct {
	Name   string
	Fields []FieldReference // as the upstream API orders them, or by name
}

// FieldReference is one field.
type FieldReference struct {
	Name string
	Type string // as people say it
	// Object is the name of the object that the field holds, "" for a value.
	Object  string
	Support Support
	// Instead is what to write where the field is not supported, or why it has no effect.
	Instead string
}

// Support of a field.
type Support string

// What is refused is the error unsupported; a warning says that a field is deprecated or
// has no effect.
const (
	Supported Support = "supported"
	Warned    Support = "warned"
	Refused   Support = "refused"
)

// Walk collects the objects of a kind, each once, from the name of the first: describe
// returns the fields of an object.
func Walk(first string, describe func(object string) []FieldReference) []ObjectReference {
	var out []ObjectReference
	seen := map[string]bool{first: true}
	for queue := []string{first}; len(queue) > 0; queue = queue[1:] {
		fields := describe(queue[0])
		out = append(out, ObjectReference{queue[0], fields})
		for _, f := range fields {
			if f.Object != "" && f.Support != Refused && !seen[f.Object] {
				seen[f.Object] = true
				queue = append(queue, f.Object)
			}
		}
	}
	return out
}
