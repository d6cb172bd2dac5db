package reach

import (
	"regexp"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// literal is a condition on one dimension: any of its predicates holds, or none
// where negated. A negated one may hold for absence.
type literal struct {
	dim    dimKey
	any    []predicate
	negate bool
	absent bool
}

// product is a conjunction.
type product []literal

// formula is a union of products, less what except describes.
type formula struct {
	products []product
	except   []product
}

func values(dim dimKey, negate bool, list []mesh.StringMatch) literal {
	l := literal{dim: dim, negate: negate}
	for i := range list {
		l.any = append(l.any, predicates(&list[i])...)
	}
	return l
}

// ofMatches is what a rule matches; who calls and the port are decided before.
func ofMatches(matches []mesh.Match) formula {
	f := formula{products: make([]product, len(matches))}
	for i := range matches {
		f.products[i] = ofMatch(&matches[i])
	}
	return f
}

func ofMatch(m *mesh.Match) product {
	var p product
	one := func(kind dimKind, s *mesh.StringMatch) {
		if s != nil {
			p = append(p, values(dimKey{kind: kind}, false, []mesh.StringMatch{*s}))
		}
	}
	one(dimPath, m.Path)
	if len(m.Methods) > 0 {
		p = append(p, values(dimKey{kind: dimMethod}, false, m.Methods))
	}
	one(dimScheme, m.Scheme)
	one(dimAuthority, m.Authority)
	if m.GRPC {
		p = append(p, literal{dim: headerDim("content-type"), any: []predicate{
			{predExact, "application/grpc"}, {predPrefix, "application/grpc+"}}})
	}
	for i := range m.Headers {
		p = append(p, ofCondition(headerDim(m.Headers[i].Name), &m.Headers[i], true))
	}
	for i := range m.Query {
		p = append(p, ofCondition(dimKey{dimQuery, m.Query[i].Name}, &m.Query[i], true))
	}
	for i := range m.Cookies {
		p = append(p, ofCondition(dimKey{dimCookie, m.Cookies[i].Name}, &m.Cookies[i], true))
	}
	return p
}

// headerDim is the dimension of a header; pseudo-headers have their own.
func headerDim(name string) dimKey {
	switch name {
	case ":method":
		return dimKey{kind: dimMethod}
	case ":authority", "host":
		return dimKey{kind: dimAuthority}
	case ":scheme":
		return dimKey{kind: dimScheme}
	}
	return dimKey{dimHeader, name}
}

func ofCondition(dim dimKey, h *mesh.HeaderMatch, absent bool) literal {
	l := values(dim, h.Invert, []mesh.StringMatch{h.StringMatch})
	l.absent = h.Invert && dim.optional() && absent
	return l
}

// ofAccessRule is what a rule holds for, apart from ports, which are decided.
func (j *judge) ofAccessRule(r *mesh.AccessRule) formula {
	when := product{}
	for i := range r.When {
		when = append(when, j.ofWhen(&r.When[i])...)
	}
	f := formula{products: cross(j.ofSources(r.From), j.ofOperations(r.To), []product{when})}
	if len(r.ExceptFrom)+len(r.ExceptTo) == 0 {
		return f
	}
	from := j.ofSources(r.ExceptFrom)
	if len(r.ExceptFrom) > 0 {
		identified := literal{dim: identityDim, any: []predicate{{kind: predAny}}}
		from = cross(from, []product{{identified}})
	}
	f.except = cross(from, j.ofOperations(r.ExceptTo))
	return f
}

var identityDim = dimKey{kind: dimIdentity}

// cross joins each product of one list with each of the next.
func cross(lists ...[]product) []product {
	out := []product{{}}
	for _, list := range lists {
		var next []product
		for _, a := range out {
			for _, b := range list {
				next = append(next, slices.Concat(a, b))
			}
		}
		out = next
	}
	return out
}

func (j *judge) ofSources(sources []mesh.Source) []product {
	if len(sources) == 0 {
		return []product{{}}
	}
	out := make([]product, len(sources))
	for i := range sources {
		out[i] = j.ofSource(&sources[i])
	}
	return out
}

func (j *judge) ofSource(s *mesh.Source) product {
	var p product
	both := func(dim dimKey, is, not []predicate) {
		if len(is) > 0 {
			p = append(p, literal{dim: dim, any: is})
		}
		if len(not) > 0 {
			p = append(p, literal{dim: dim, any: not, negate: true, absent: true})
		}
	}
	names := func(list []mesh.StringMatch) []predicate { return values(identityDim, false, list).any }
	both(identityDim, names(s.Principals), names(s.NotPrincipals))
	both(identityDim, j.accounts(s.ServiceAccounts), j.accounts(s.NotServiceAccounts))
	both(identityDim, j.namespaces(s.Namespaces), j.namespaces(s.NotNamespaces))
	both(dimKey{kind: dimPeer}, blocks(s.IPBlocks), blocks(s.NotIPBlocks))
	both(dimKey{kind: dimClient}, blocks(s.RemoteIPBlocks), blocks(s.NotRemoteIPBlocks))
	if s.Meshed {
		both(identityDim, []predicate{{predPrefix, "spiffe://" + j.trustDomain + "/"}}, nil)
	}
	return p
}

func (j *judge) accounts(list []mesh.AccountRef) []predicate {
	out := make([]predicate, len(list))
	for i, a := range list {
		out[i] = predicate{predExact, j.spiffe(a.Namespace, a.Name)}
	}
	return out
}

// namespaces are ranges of identities.
func (j *judge) namespaces(list []mesh.StringMatch) []predicate {
	base := "spiffe://" + j.trustDomain + "/ns/"
	var out []predicate
	for i := range list {
		switch n := &list[i]; n.Kind {
		case mesh.Exact:
			out = append(out, predicate{predPrefix, base + n.Value + "/"})
		case mesh.Prefix:
			out = append(out, predicate{predPrefix, base + n.Value})
		default:
			name := strings.ReplaceAll(envoymatch.Pattern(*n), "(?s:.*)", "[^/]*")
			out = append(out, predicate{predRegex, regexp.QuoteMeta(base) + "(?:" + name + ")/.*"})
		}
	}
	return out
}

func blocks(list []string) []predicate {
	out := make([]predicate, len(list))
	for i, b := range list {
		out[i] = predicate{predBlock, b}
	}
	return out
}

func (j *judge) ofOperations(operations []mesh.Operation) []product {
	if len(operations) == 0 {
		return []product{{}}
	}
	out := make([]product, len(operations))
	for i := range operations {
		out[i] = ofOperation(&operations[i])
	}
	return out
}

func ofOperation(o *mesh.Operation) product {
	var p product
	both := func(kind dimKind, is, not []mesh.StringMatch) {
		if len(is) > 0 {
			p = append(p, values(dimKey{kind: kind}, false, is))
		}
		if len(not) > 0 {
			p = append(p, values(dimKey{kind: kind}, true, not))
		}
	}
	both(dimMethod, o.Methods, o.NotMethods)
	both(dimPath, o.Paths, o.NotPaths)
	both(dimAuthority, hostPatterns(o.Hosts), hostPatterns(o.NotHosts))
	for i := range o.Headers {
		h := &o.Headers[i]
		// Absence counts as the empty value, see patterns.header.
		absent := h.Kind == mesh.Present || !newPatterns().value(&h.StringMatch, "")
		p = append(p, ofCondition(headerDim(h.Name), h, absent))
	}
	return p
}

// hostPatterns say what judge.host compares.
func hostPatterns(hosts []mesh.StringMatch) []mesh.StringMatch {
	out := make([]mesh.StringMatch, len(hosts))
	for i, h := range hosts {
		h.IgnoreCase = true
		if !strings.Contains(h.Value, ":") && h.Kind != mesh.Prefix && h.Kind != mesh.Present {
			h = mesh.StringMatch{Kind: mesh.Regex, Value: "(?:" + envoymatch.Pattern(h) + ")(?::[0-9]*)?"}
		}
		out[i] = h
	}
	return out
}

func (j *judge) ofWhen(c *mesh.Condition) product {
	dim, preds := j.whenValues(c.Key)
	var p product
	if len(c.Values) > 0 {
		p = append(p, literal{dim: dim, any: preds(c.Values)})
	}
	if len(c.NotValues) > 0 {
		p = append(p, literal{dim: dim, any: preds(c.NotValues), negate: true, absent: true})
	}
	return p
}

func (j *judge) whenValues(key string) (dimKey, func([]mesh.StringMatch) []predicate) {
	plain := func(list []mesh.StringMatch) []predicate { return values(dimKey{}, false, list).any }
	addresses := func(list []mesh.StringMatch) []predicate {
		var out []predicate
		for _, v := range list {
			out = append(out, predicate{predBlock, v.Value})
		}
		return out
	}
	if name := headerKey.FindStringSubmatch(key); name != nil {
		return headerDim(strings.ToLower(name[1])), plain
	}
	switch key {
	case "source.ip":
		return dimKey{kind: dimPeer}, addresses
	case "remote.ip":
		return dimKey{kind: dimClient}, addresses
	case "source.namespace":
		return identityDim, j.namespaces
	case "source.principal":
		return identityDim, plain
	}
	return dimKey{dimOther, key}, func(list []mesh.StringMatch) []predicate {
		var out []predicate
		for _, v := range list {
			out = append(out, predicate{predUnknown, v.Kind.String() + " " + v.Value})
		}
		return out
	}
}
