// Package kubernetes translates plain Kubernetes objects into the mesh model:
// they tell us ports, versions and identities.
//
// In: Namespace, Service, ServiceAccount, ConfigMap (ca.crt alone), Deployment, StatefulSet and DaemonSet
// documents. Out: their fragment of the mesh. Kubernetes owns these documents:
// fields that we do not use are left alone, and only a wrong value in a field
// that we use is a diagnostic.
package kubernetes

import (
	"regexp"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Translators returns the translators by "apiVersion kind".
func Translators() map[string]func(*load.Document) (*mesh.Fragment, diag.List) {
	return map[string]func(*load.Document) (*mesh.Fragment, diag.List){
		"v1 Namespace":        namespace,
		"v1 Service":          service,
		"v1 ServiceAccount":   serviceAccount,
		"v1 ConfigMap":        configMap,
		"apps/v1 Deployment":  workload,
		"apps/v1 StatefulSet": workload,
		"apps/v1 DaemonSet":   workload,
		// The loader applies a kustomization's namespace; there is nothing else in
		// it for the mesh.
		"kustomize.config.k8s.io/v1beta1 Kustomization": nothing,
		"kustomize.config.k8s.io/v1alpha1 Component":    nothing,
	}
}

func nothing(*load.Document) (*mesh.Fragment, diag.List) { return &mesh.Fragment{}, nil }

func namespace(doc *load.Document) (*mesh.Fragment, diag.List) {
	r := newReader(doc)
	ns := &mesh.Namespace{Origin: r.Origin(mesh.Kubernetes), Labels: r.stringMap("metadata", "labels")}
	return &mesh.Fragment{Namespaces: []*mesh.Namespace{ns}}, r.Diags
}

func serviceAccount(doc *load.Document) (*mesh.Fragment, diag.List) {
	r := newReader(doc)
	sa := &mesh.ServiceAccount{Origin: r.Origin(mesh.Kubernetes)}
	return &mesh.Fragment{ServiceAccounts: []*mesh.ServiceAccount{sa}}, r.Diags
}

// configMap reads the certificates of a CA, which a policy may name; others say nothing.
func configMap(doc *load.Document) (*mesh.Fragment, diag.List) {
	r := newReader(doc)
	ca := doc.Root.Get("data").Get("ca.crt")
	if ca == nil || ca.Kind != load.String {
		return &mesh.Fragment{}, nil
	}
	m := &mesh.ConfigMap{Origin: r.Origin(mesh.Kubernetes), CA: ca.Text, Span: ca.Span}
	return &mesh.Fragment{ConfigMaps: []*mesh.ConfigMap{m}}, r.Diags
}

// workload reads the pod template of a Deployment, StatefulSet or DaemonSet.
func workload(doc *load.Document) (*mesh.Fragment, diag.List) {
	r := newReader(doc)
	pod := r.at("spec", "template", "spec")
	w := &mesh.Workload{
		Origin:         r.Origin(mesh.Kubernetes),
		Labels:         r.stringMap("spec", "template", "metadata", "labels"),
		ServiceAccount: "default",
	}
	// serviceAccount is the deprecated alias; Kubernetes keeps both equal.
	for _, key := range []string{"serviceAccount", "serviceAccountName"} {
		if name := r.str(pod, key); name != "" {
			w.ServiceAccount = name
			r.identity(pod.Get(key), key)
		}
	}
	for _, c := range r.list(pod, "containers") {
		w.Ports = append(w.Ports, r.containerPorts(c)...)
	}
	// A sidecar container is an init container that goes on running.
	for _, c := range r.list(pod, "initContainers") {
		if r.str(c, "restartPolicy") == "Always" {
			w.Ports = append(w.Ports, r.containerPorts(c)...)
		}
	}
	return &mesh.Fragment{Workloads: []*mesh.Workload{w}}, r.Diags
}

// subdomain is RFC 1123's, which Kubernetes demands of the name.
var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// identity checks a service account's name: it becomes part of a SPIFFE id, in
// which a slash would make another identity.
func (r *reader) identity(n *load.Node, key string) {
	if len(n.Text) > 253 || !subdomain.MatchString(n.Text) {
		r.Errorf(load.CodeSchema, n.Span, "%s %q is no name: want lower-case letters, digits, dots and dashes", key, n.Text)
	}
}

// containerPorts leaves Protocol open: a container port has none in Kubernetes,
// the service's port says it.
func (r *reader) containerPorts(container *load.Node) []mesh.WorkloadPort {
	var ports []mesh.WorkloadPort
	for _, p := range r.list(container, "ports") {
		if transport := r.str(p, "protocol"); transport != "" && transport != "TCP" {
			continue // neither UDP nor SCTP goes through a sidecar
		}
		if number, ok := r.port(p, "containerPort"); ok {
			ports = append(ports, mesh.WorkloadPort{Name: r.str(p, "name"), Number: number, Span: p.Span})
		}
	}
	return ports
}
