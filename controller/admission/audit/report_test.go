package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/controller/admission"
)

func TestReports(t *testing.T) {
	found := []admission.Finding{
		{Object: "Mesh shop", Code: "value", Severity: "error"},
		{Object: "MeshRoute shop/catalog", Code: "pathprefix", Severity: "warning"},
		{Object: "MeshRoute shop/catalog", Code: "weights", Severity: "critical", Message: strings.Repeat("ö", 2000)},
		{Object: "MeshRoute calm/catalog", Code: "note", Severity: "info"},
	}
	for i := range 150 {
		found = append(found, admission.Finding{Object: fmt.Sprintf("MeshRoute many/r%d", i), Code: "value", Severity: "error"})
	}
	got := reports(found, "mesh-system")
	if len(got) != 3 || got["mesh-system"] == nil || got["calm"] != nil {
		t.Fatalf("reports of %d namespaces: %v", len(got), got)
	}
	shop := got["shop"]
	if shop.Errors != 1 || shop.Warnings != 1 || shop.Findings[0].Code != "weights" || len([]rune(shop.Findings[0].Message)) != maxText {
		t.Errorf("the report is %+v", shop)
	}
	if many := got["many"]; many.Errors != 150 || len(many.Findings) != maxFindings {
		t.Errorf("%d errors and %d findings", many.Errors, len(many.Findings))
	}
}
