package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/api"
)

// A feature is told of when its operations are there, and only then.
func TestFeatures(t *testing.T) {
	t.Parallel()
	c := admin(t)
	var told struct {
		Features map[string]bool
		Limits   map[string]json.Number
	}
	c.must("GET", "/capabilities", "", nil, &told)
	project := c.project()
	for feature, operation := range map[string]string{
		"sse_streaming": "StreamSession", "multi_provider": "ListProviders", "diffs": "ListDiffs", "file_editor": "GetFileTree",
		"workflows": "ListWorkflows", "deployments": "ListDeployments", "telemetry": "ListTelemetryStreams",
	} {
		i := slices.IndexFunc(api.Operations(), func(o api.Operation) bool { return o.Name == operation })
		path := strings.NewReplacer("{project_id}", project, "{session_id}", "none").Replace(api.Operations()[i].Path)
		if there := c.send("GET", path, "").status != http.StatusNotImplemented; told.Features[feature] != there {
			t.Errorf("%s is told to be %v, and is %v", feature, told.Features[feature], there)
		}
	}
	if n, err := told.Limits["max_concurrent_runs"].Int64(); err != nil || n != 8 {
		t.Errorf("the limits are %v", told.Limits)
	}
}
