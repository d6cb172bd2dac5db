package authz

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/policies"
)

// root is what a bundle owns, below data: user policies live elsewhere.
const root = "mesh_compile"

// Bundle returns the OPA bundle of a workload, unsigned: the library of package
// policies and the workload's rules. data.mesh_compile.authz.decision is
// {"allow": boolean, "rule": id}, the rule being "" where a default decided, and
// data.mesh_compile.authz.allow its boolean, both for the input document of the
// opa-envoy-plugin. Equal rules are equal bytes.
func Bundle(m *check.Mesh, w *check.Workload) ([]byte, error) {
	return build(m.Settings(), w, maxStatic)
}

func build(s *check.Settings, w *check.Workload, limit int) ([]byte, error) {
	g, t := &generator{settings: s}, newTable(w, limit)
	for _, in := range w.Inbound {
		g.inbound(in, t)
	}
	if t.has(mesh.Allow) {
		g.looked(allowedSet)
	}
	if t.has(mesh.Deny) {
		g.looked(deniedSet)
	}
	rules, err := g.module()
	if err != nil {
		return nil, err
	}
	library, err := g.library(t)
	if err != nil {
		return nil, err
	}
	return write(append(library, policies.Module{Name: "rules", Source: rules}), t.data())
}

// inbound writes what decides at a port, as ForInbound does.
func (g *generator) inbound(in *check.Inbound, t *table) {
	g.port, g.requests = in.Port, in.Protocol.IsHTTP()
	if !g.requests {
		g.addPort(connectionSet)
	}
	g.list(deniedSet, mesh.Deny, in.Access.Deny, t)
	if in.Access.DefaultAllow {
		g.addPort(openSet)
		return
	}
	g.list(allowedSet, mesh.Allow, in.Access.Allow, t)
	if len(in.Access.Custom) > 0 {
		g.fail("custom rule %q needs an authorizer", in.Access.Custom[0].ID)
	}
}

func (g *generator) list(set string, action mesh.AccessAction, rules []*mesh.AccessRule, t *table) {
	seen := make(map[string]bool, len(rules))
	for _, r := range rules {
		if seen[r.ID] {
			g.fail("two rules have the id %q", r.ID)
		}
		seen[r.ID] = true
		if t.used && t.takes(r) {
			t.add(g.settings, action, g.port, r)
			continue
		}
		g.rule(set, r)
	}
}

// library leaves out what the rules do not use: the agent builds the input that
// a bundle reads, and headers are the costly part of it.
func (g *generator) library(t *table) ([]policies.Module, error) {
	all, err := policies.Library()
	return slices.DeleteFunc(all, func(m policies.Module) bool {
		return m.Name == headerLibrary && !g.reads(headerLibrary) || m.Name == lookupLibrary && len(t.rules) == 0
	}), err
}

func write(modules []policies.Module, data map[string]any) ([]byte, error) {
	b := bundle.Bundle{Data: data}
	b.Manifest.Roots = &[]string{root}
	b.Manifest.SetRegoVersion(ast.RegoV1)
	for _, m := range modules {
		path := "/" + root + "/" + m.Name + ".rego"
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: path, Path: path, Raw: m.Source})
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	return out.Bytes(), nil
}
