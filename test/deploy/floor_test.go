package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/admission/floor"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// floorFixtures has a file for each policy of the floor; a test beside it holds lint to
// them.
const floorFixtures = "controller/admission/floor/testdata"

// flooring is a cluster of which the floor holds, and nothing else: no role runs.
type flooring struct {
	t       *testing.T
	cluster *kubetest.Cluster
}

const floorNamespace = "floor"

func newFlooring(t *testing.T) *flooring {
	t.Helper()
	f := &flooring{t, installed(t)}
	f.typeChecked() // before the kinds of Istio are there
	f.cluster.InstallCRDs(t, "istio.yaml")
	f.cluster.Namespace(t, floorNamespace, nil)
	kubetest.Until(t, func(ctx context.Context) error {
		for _, name := range []string{"meshroutes", "untranslated"} { // policies are followed by a watch
			if err := f.write(ctx, f.fixtures(name)["bad-1"].object); !refusedByFloor(err) {
				return fmt.Errorf("%s bad-1: %w", name, err)
			}
		}
		return nil
	})
	return f
}

func refusedByFloor(err error) bool {
	return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'mesh-compile-floor")
}

// write makes an object in dry run, in the namespace of the test.
func (f *flooring) write(ctx context.Context, object unstructured.Unstructured) error {
	object = *object.DeepCopy()
	if object.GetKind() != "Mesh" {
		object.SetNamespace(floorNamespace)
	}
	return f.cluster.Client.Create(ctx, &object, client.DryRunAll)
}

type floorFixture struct {
	object unstructured.Unstructured
	text   string
}

func (f *flooring) fixtures(name string) map[string]floorFixture {
	f.t.Helper()
	out := map[string]floorFixture{}
	for _, text := range strings.Split(string(read(f.t, floorFixtures+"/"+name+".yaml")), "---\n") {
		for _, object := range decode(f.t, name, []byte(text)) {
			out[object.GetName()] = floorFixture{object, text}
		}
	}
	return out
}

// typeChecked waits until every expression was checked against the kinds that are
// installed, without a warning. Policies of kinds that are not do no harm.
func (f *flooring) typeChecked() {
	f.t.Helper()
	kubetest.Until(f.t, func(ctx context.Context) error {
		var list admissionregistration.ValidatingAdmissionPolicyList
		if err := f.cluster.Client.List(ctx, &list); err != nil {
			return err
		}
		if len(list.Items) != len(floor.Policies()) {
			return fmt.Errorf("%d policies are there, want %d", len(list.Items), len(floor.Policies()))
		}
		var wrong []error
		for _, p := range list.Items {
			switch {
			case p.Status.TypeChecking == nil || p.Status.ObservedGeneration != p.Generation:
				wrong = append(wrong, fmt.Errorf("%s is not checked yet", p.Name))
			case len(p.Status.TypeChecking.ExpressionWarnings) > 0:
				wrong = append(wrong, fmt.Errorf("%s: %+v", p.Name, p.Status.TypeChecking.ExpressionWarnings))
			}
		}
		return errors.Join(wrong...)
	})
}

// TestFloor: the API server alone refuses what breaks a rule in lint's words, and takes
// the neighbour.
func TestFloor(t *testing.T) {
	f := newFlooring(t)
	for _, p := range floor.Policies() {
		name := p.Kinds[0].Resource
		if len(p.Kinds) > 1 {
			name = "untranslated"
		}
		for fixture, d := range f.fixtures(name) {
			err := f.write(t.Context(), d.object)
			if strings.HasPrefix(fixture, "good") {
				if err != nil {
					t.Errorf("%s %s: %v", name, fixture, err)
				}
				continue
			}
			f.says(name+" "+fixture, err, d)
		}
	}
	f.saysMuch()
	f.deleting()
}

// deleting: an object that waits for a finalizer is refused what any other is, and goes.
func (f *flooring) deleting() {
	f.t.Helper()
	const manifest = "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: going, finalizers: [example.com/wait]}\n" +
		"spec: {service: catalog, unmatched: service, rules: [{name: a, match: [{path: {prefix: /a}}], to: [{version: v1, weight: 50}, {version: v2, weight: 50}]}]}\n"
	object := decode(f.t, "going", []byte(manifest))[0]
	object.SetNamespace(floorNamespace)
	must := func(err error) {
		f.t.Helper()
		if err != nil {
			f.t.Fatal(err)
		}
	}
	must(f.cluster.Client.Create(f.t.Context(), &object))
	must(f.cluster.Client.Delete(f.t.Context(), &object))
	must(f.cluster.Client.Get(f.t.Context(), client.ObjectKeyFromObject(&object), &object))
	bad := decode(f.t, "going", []byte(strings.Replace(manifest, "weight: 50", "weight: 60", 1)))[0]
	edited := *object.DeepCopy()
	edited.Object["spec"] = bad.Object["spec"]
	if err := f.cluster.Client.Update(f.t.Context(), &edited); err == nil || !strings.Contains(err.Error(), "[weights]") {
		f.t.Errorf("an object that is being deleted becomes unsafe: %v", err)
	}
	object.SetFinalizers(nil)
	must(f.cluster.Client.Update(f.t.Context(), &object))
}

// saysMuch: an object with more findings than fit is refused with their number and the
// first of them, within the bounds of the API server, in whatever script they are.
func (f *flooring) saysMuch() {
	f.t.Helper()
	rules := func(weight string, count int) string {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, "  - {name: r%d, match: [{path: {prefix: /%[1]d}}], to: [{version: v1, weight: 50}, {version: v2, weight: %s}]}\n", i, weight)
		}
		return "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: much}\nspec:\n  service: catalog\n  unmatched: service\n  rules:\n" + b.String()
	}
	wild := func(host string, count int) string {
		http := strings.Repeat(`{route: [{destination: {host: "`+host+`"}}]}, `, count)
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: much}\nspec: {hosts: [catalog], http: [" + http + "]}\n"
	}
	globe := strings.Repeat("\U0001F310", 500)
	for _, c := range []struct{ manifest, count, first string }{
		{rules("60", 64), "64", `spec.rules[0].to: the weights of rule "r0" sum to 110, want 100 [weights] | `},
		{wild("*"+strings.Repeat("a", 2000), 100), "100", `spec.http[0].route: destination host "*aaa`},
		{wild("*"+globe, 5), "5", `spec.http[0].route: destination host "*` + globe},
		{wild(`*a\nb`, 5), "5", `spec.http[0].route: destination host "*a b"`},
	} {
		err := f.write(f.t.Context(), decode(f.t, "much", []byte(c.manifest))[0])
		if err == nil || !strings.Contains(err.Error(), "/much: "+c.count+" finding(s): "+c.first) || !strings.HasSuffix(err.Error(), " | "+readOn) || len(err.Error()) > 6<<10 {
			f.t.Errorf("%s findings: the floor says\n%.9000v", c.count, err)
		}
	}
	for _, manifest := range []string{rules("50", 64), wild("catalog", 1000)} {
		if err := f.write(f.t.Context(), decode(f.t, "much", []byte(manifest))[0]); err != nil {
			f.t.Errorf("much without findings: %v", err)
		}
	}
}

// says demands lint's words of what an object was refused with.
func (f *flooring) says(name string, refused error, d floorFixture) {
	f.t.Helper()
	if !refusedByFloor(refused) {
		f.t.Errorf("%s: the floor does not refuse: %v", name, refused)
		return
	}
	files := fstest.MapFS{"base.yaml": {Data: read(f.t, floorFixtures+"/base.yaml")}, "fixture.yaml": {Data: []byte(d.text)}}
	_, found := compiler.Compile(files, compiler.Options{LintOnly: true})
	refusing := slices.DeleteFunc(found, func(l diag.Diagnostic) bool { return l.Severity < diag.Error })
	in := func(l diag.Diagnostic) bool { return inWords(refused.Error(), l) }
	whole := !slices.ContainsFunc(refusing, func(l diag.Diagnostic) bool { return !in(l) }) &&
		strings.Contains(refused.Error(), fmt.Sprintf(": %d finding(s): ", len(refusing)))
	if !slices.ContainsFunc(refusing, in) || strings.Contains(name, " bad-all") && !whole {
		f.t.Errorf("%s: the floor says\n%v\nand lint\n%v", name, refused, refusing)
	}
}

func inWords(said string, d diag.Diagnostic) bool {
	text := ": " + d.Message + " [" + string(d.Code) + "]"
	if d.Fix != nil {
		text += "; fix: " + d.Fix.Message
	}
	return strings.Contains(said, text+" | ") && strings.HasSuffix(said, " | "+readOn)
}

// readOn ends what the floor says.
const readOn = "mesh-compile explain CODE says more, mesh-compile lint all that the compiler finds"

// TestFloorModes: a namespace that is warned or audited is not refused, one whose label
// is misspelt is.
func TestFloorModes(t *testing.T) {
	f := newFlooring(t)
	bad := f.fixtures("meshroutes")["bad-5"].object
	bad.SetNamespace("modes")
	f.cluster.Namespace(t, "modes", nil)
	text, err := yaml.Marshal(bad.Object)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"warn", "audit", "enforced", "enforce"} {
		f.cluster.Kubectl(t, "label", "namespace", "modes", "--overwrite", "mesh-compile.dev/admission="+mode)
		refuses, warns := mode != "warn" && mode != "audit", mode == "warn"
		kubetest.Until(t, func(context.Context) error { // labels are followed by a watch
			out, err := f.cluster.TryApply(t, string(text), "--dry-run=server")
			if (err != nil) != refuses || strings.Contains(out, "Warning: Validation failed for ValidatingAdmissionPolicy") != warns {
				return fmt.Errorf("mode %s: %v\n%s", mode, err, out)
			}
			return nil
		})
	}
}

// TestFloorIsExact: of every document of the fixtures that are in the repository, what
// the floor refuses lint refuses with that code.
func TestFloorIsExact(t *testing.T) {
	f := newFlooring(t)
	tried, refused := 0, 0
	for name, files := range repositories(t) {
		documents := f.documents(files)
		if len(documents) == 0 {
			continue
		}
		_, found := compiler.Compile(files, compiler.Options{LintOnly: true})
		for _, d := range documents {
			err := f.write(t.Context(), d.object)
			tried++
			if !refusedByFloor(err) {
				continue
			}
			refused++
			if !slices.ContainsFunc(found, func(l diag.Diagnostic) bool {
				return l.Severity >= diag.Error && l.Span.File == d.file && strings.Contains(err.Error(), "["+string(l.Code)+"]")
			}) {
				t.Errorf("%s: %s %s: lint takes what the floor refuses: %v", name, d.file, d.object.GetName(), err)
			}
		}
	}
	t.Logf("%d documents, of which the floor refuses %d", tried, refused)
	if tried < 250 || refused < 10 {
		t.Errorf("only %d documents were tried and %d refused", tried, refused)
	}
}

type floorDocument struct {
	file   string
	object unstructured.Unstructured
}

// documents are those of a kind that the floor knows and the cluster has.
func (f *flooring) documents(files fs.FS) []floorDocument {
	var out []floorDocument
	_ = fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		for _, one := range strings.Split(string(text), "\n---") {
			var object unstructured.Unstructured
			if yaml.Unmarshal([]byte(one), &object.Object) != nil || object.GetName() == "" {
				continue // the loader's fixtures are no YAML on purpose
			}
			if known(object) {
				out = append(out, floorDocument{name, object})
			}
		}
		return nil
	})
	return out
}

func known(u unstructured.Unstructured) bool {
	gvk := u.GroupVersionKind()
	return slices.ContainsFunc(floor.Policies(), func(p floor.Policy) bool {
		return slices.ContainsFunc(p.Kinds, func(k floor.Kind) bool {
			return k.Group == gvk.Group && k.Kind == gvk.Kind && slices.Contains(k.Versions, gvk.Version)
		})
	})
}

// repositories are the fixtures of the features, the analyzers and the compiler: a
// directory with policies, or an archive, is one each.
func repositories(t *testing.T) map[string]fs.FS {
	t.Helper()
	out := map[string]fs.FS{}
	for _, top := range []string{"testdata", "compiler"} {
		root := path(t, top)
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !strings.Contains(name, "testdata") {
				return err
			}
			if e.IsDir() && e.Name() == "script" {
				return filepath.SkipDir // a script has several repositories
			}
			relative := strings.TrimPrefix(name, root)
			switch {
			case e.IsDir() && len(first(name)) > 0:
				out[top+relative] = os.DirFS(name)
			case filepath.Ext(name) == ".txtar":
				archive, err := txtar.ParseFile(name)
				if err != nil {
					return err
				}
				files, err := txtar.FS(archive)
				if err == nil { // others test archives that are wrong
					out[top+relative] = files
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func first(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.yaml")) // the pattern is good
	return files
}
