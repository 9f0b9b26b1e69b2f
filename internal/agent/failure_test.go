package agent_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/agent"
)

func TestFailureCodesAreDocumented(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(api.YAML())
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, code := range document.Components.Schemas["RunError"].Value.Properties["code"].Value.Extensions["x-extensible-enum"].([]any) {
		listed = append(listed, code.(string))
	}
	if d := cmp.Diff(agent.FailureCodes(), listed); d != "" {
		t.Errorf("(-a run fails with +the document says):\n%s", d)
	}
}
