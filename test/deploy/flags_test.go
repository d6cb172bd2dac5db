package deploy

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// misused is how cobra refuses arguments.
var misused = regexp.MustCompile(`unknown (shorthand )?flag|unknown command|required flag|invalid argument|unexpected argument|requires at least|accepts `)

// TestFlags gives the arguments of every container to the program: it knows each flag,
// takes each value, and misses none. It then ends because it finds no API server.
func TestFlags(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mesh-controller")
	build := exec.Command("go", "build", "-o", program, "./cmd/mesh-controller")
	build.Dir = path(t, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building mesh-controller: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	for _, dir := range kustomizations(t) {
		objects := render(t, dir)
		for _, d := range deployments(t, objects) {
			args := arguments(t, d, settings(objects))
			if key := strings.Join(args, " "); !seen[key] {
				seen[key] = true
				t.Run(filepath.Base(dir)+"/"+d.Name, func(t *testing.T) { start(t, program, args) })
			}
		}
	}
	if len(seen) < len(roles) {
		t.Errorf("%d containers were tried, want one of each role", len(seen))
	}
	if !misused.MatchString(refused(t, program, "deliver", "--no-such-flag")) {
		t.Error("a flag that does not exist is not noticed")
	}
}

func start(t *testing.T, program string, args []string) {
	t.Helper()
	if i := slices.IndexFunc(args, func(a string) bool { return strings.Contains(a, "$(") }); i >= 0 {
		t.Fatalf("%s: the container's environment has no such variable", args[i])
	}
	if said := refused(t, program, append(args, "--kubeconfig=/nowhere")...); misused.MatchString(said) {
		t.Errorf("mesh-controller %s\n%s", strings.Join(args, " "), said)
	}
}

// refused runs the program, which cannot succeed, and returns what it says.
func refused(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Errorf("mesh-controller %s: ended with %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func deployments(t *testing.T, objects []unstructured.Unstructured) []appsv1.Deployment {
	t.Helper()
	var out []appsv1.Deployment
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// settings are the data of the ConfigMaps, by name.
func settings(objects []unstructured.Unstructured) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, object := range objects {
		if object.GetKind() == "ConfigMap" {
			out[object.GetName()], _, _ = unstructured.NestedStringMap(object.Object, "data")
		}
	}
	return out
}

// arguments of the role's container, with its environment put in as the kubelet does.
func arguments(t *testing.T, d appsv1.Deployment, settings map[string]map[string]string) []string {
	t.Helper()
	if n := len(d.Spec.Template.Spec.Containers); n != 1 {
		t.Fatalf("%s has %d containers", d.Name, n)
	}
	c := d.Spec.Template.Spec.Containers[0]
	var pairs []string
	for _, variable := range c.Env {
		if value, ok := valueOf(variable, settings); ok {
			pairs = append(pairs, "$("+variable.Name+")", value)
		}
	}
	args := slices.Clone(c.Args)
	for i, arg := range args {
		args[i] = strings.NewReplacer(pairs...).Replace(arg)
	}
	return args
}

func valueOf(variable corev1.EnvVar, settings map[string]map[string]string) (string, bool) {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return variable.Value, true
	case from.FieldRef != nil:
		return "any", true
	case from.ConfigMapKeyRef != nil:
		value, ok := settings[from.ConfigMapKeyRef.Name][from.ConfigMapKeyRef.Key]
		return value, ok
	}
	return "", false
}
