package authz

import (
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// words are the messages of one side of a policy, principals or permissions.
// Envoy spells the two alike; a principal may speak of the request as well.
type words[T any] struct {
	anything func() T
	and, or  func([]T) T
	not      func(T) T
	header   func(*routev3.HeaderMatcher) T
	path     func(*matcherv3.PathMatcher) T
}

var ids = words[*rbacv3.Principal]{
	anything: func() *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
	},
	and: func(all []*rbacv3.Principal) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: all}}}
	},
	or: func(all []*rbacv3.Principal) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: all}}}
	},
	not: func(id *rbacv3.Principal) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: id}}
	},
	header: func(h *routev3.HeaderMatcher) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: h}}
	},
	path: func(p *matcherv3.PathMatcher) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_UrlPath{UrlPath: p}}
	},
}

var permissions = words[*rbacv3.Permission]{
	anything: func() *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
	},
	and: func(all []*rbacv3.Permission) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: all}}}
	},
	or: func(all []*rbacv3.Permission) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: all}}}
	},
	not: func(rule *rbacv3.Permission) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: rule}}
	},
	header: func(h *routev3.HeaderMatcher) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: h}}
	},
	path: func(p *matcherv3.PathMatcher) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: p}}
	},
}

// allOf is anything for an empty list: Envoy's constraints refuse empty sets.
func (w *words[T]) allOf(list []T) T {
	switch len(list) {
	case 0:
		return w.anything()
	case 1:
		return list[0]
	}
	return w.and(list)
}

func (w *words[T]) anyOf(list []T) T {
	switch len(list) {
	case 0:
		return w.anything()
	case 1:
		return list[0]
	}
	return w.or(list)
}

// yesAndNo adds "any of yes and none of no" to what must all hold.
func yesAndNo[T, V any](all *[]T, w *words[T], yes, no []V, f func(V) T) {
	if len(yes) > 0 {
		*all = append(*all, w.anyOf(mapped(yes, f)))
	}
	if len(no) > 0 {
		*all = append(*all, w.not(w.anyOf(mapped(no, f))))
	}
}

func mapped[T, U any](in []T, f func(T) U) []U {
	out := make([]U, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
