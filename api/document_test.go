package api_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// The reference's operations: method, path, operationId and tag, in its order.
//
//go:embed testdata/seed-operations.txt
var seedOperations string

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.JSON())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocument(t *testing.T) {
	t.Parallel()

	t.Run("is valid OpenAPI", func(t *testing.T) {
		t.Parallel()
		if err := load(t).Validate(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("says the same in JSON and in YAML", func(t *testing.T) {
		t.Parallel()
		var fromYAML, fromJSON any
		if err := yaml.Unmarshal(api.YAML(), &fromYAML); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(fromYAML)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &fromYAML); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(api.JSON(), &fromJSON); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(fromYAML, fromJSON); d != "" {
			t.Error(d)
		}
	})

	t.Run("holds the reference's operations, in its order, and says which are others", func(t *testing.T) {
		t.Parallel()
		doc := load(t)
		var got strings.Builder
		var extensions []string
		for _, o := range api.Operations() {
			if o.Extension {
				extensions = append(extensions, o.ID)
				continue
			}
			fmt.Fprintf(&got, "%s %s %s %s\n", o.Method, o.Path, o.ID, written(t, doc, o).Tags[0])
		}
		if d := cmp.Diff(seedOperations, got.String()); d != "" {
			t.Error(d)
		}
		if n := strings.Count(seedOperations, "\n"); n != 81 {
			t.Errorf("the reference has %d operations", n)
		}
		if d := cmp.Diff([]string{"post_auth_tickets"}, extensions); d != "" {
			t.Error(d)
		}
	})

	t.Run("asks for credentials unless the permission is public", func(t *testing.T) {
		t.Parallel()
		doc := load(t)
		for _, o := range api.Operations() {
			if !slices.Contains(identity.Permissions, o.Permission) {
				t.Errorf("%s: nobody knows the permission %q", o.ID, o.Permission)
			}
			security := written(t, doc, o).Security
			if open := security != nil && len(*security) == 0; open != o.Public {
				t.Errorf("%s: public is %v, but its security is %v", o.ID, o.Public, security)
			}
		}
	})

	t.Run("gives each operation that is not a GET a bound, and an answer to one in JSON", func(t *testing.T) {
		t.Parallel()
		doc := load(t)
		for _, o := range api.Operations() {
			if (o.Method != "GET") != (o.MaxBytes > 0) {
				t.Errorf("%s: at most %d bytes", o.ID, o.MaxBytes)
			}
			ok := written(t, doc, o).Responses.Value("200")
			if ok == nil {
				t.Errorf("%s never succeeds", o.ID)
				continue
			}
			if !o.Stream && ok.Value.Content.Get("application/json") == nil {
				t.Errorf("%s: no JSON", o.ID)
			}
			for status, response := range written(t, doc, o).Responses.Map() {
				if status != "200" && status != "default" && len(response.Value.Content) > 0 {
					t.Errorf("%s succeeds with %s", o.ID, status)
				}
			}
		}
	})

	t.Run("uses no code that it does not explain, and explains none that it does not use", func(t *testing.T) {
		t.Parallel()
		used := map[string]bool{"method_not_allowed": true, "not_found": true} // the router's
		for _, o := range api.Operations() {
			for _, code := range o.ErrorCodes {
				used[code] = true
				if e := api.Errors()[code]; e.Status < 400 || e.Description == "" {
					t.Errorf("%s: %s is not explained", o.ID, code)
				}
			}
			for code := range map[string]bool{"unauthorized": true, "internal_error": true, "unavailable": true} {
				if !slices.Contains(o.ErrorCodes, code) {
					t.Errorf("%s never answers %s", o.ID, code)
				}
			}
		}
		for code := range api.Errors() {
			if !used[code] {
				t.Errorf("nothing answers %s", code)
			}
		}
	})

	t.Run("calls retryable what says come back", func(t *testing.T) {
		t.Parallel()
		for code, e := range api.Errors() {
			want := e.Status == 429 || e.Status == 503 || code == "conflict" || code == "in_progress"
			if e.Retryable != want {
				t.Errorf("%s: retryable is %v", code, e.Retryable)
			}
		}
	})

	t.Run("judges the body first where clients expect it", func(t *testing.T) {
		t.Parallel()
		var first []string
		for _, o := range api.Operations() {
			if o.BodyFirst {
				first = append(first, o.Name)
			}
		}
		if d := cmp.Diff([]string{"InvokeTool", "WriteFile", "LintFiles", "SearchFiles", "CheckoutRepo", "CommitRepo"}, first); d != "" {
			t.Error(d)
		}
	})

	t.Run("bounds every text and list that a client sends", func(t *testing.T) {
		t.Parallel()
		for _, o := range api.Operations() {
			if o.Body == api.JSONBody {
				unbounded(t, o.Name, written(t, load(t), o).RequestBody.Value.Content.Get("application/json").Schema)
			}
		}
	})

	t.Run("shows stored events as frames that it describes", func(t *testing.T) {
		t.Parallel()
		doc := load(t)
		frames := doc.Components.Schemas["StreamFrame"].Value.Discriminator.Mapping
		if len(api.StreamEvents()) == 0 {
			t.Error("the stream shows nothing")
		}
		for name, e := range api.StreamEvents() {
			if _, ok := frames[e.Type]; !ok || doc.Components.Schemas[e.Data] == nil {
				t.Errorf("%s is shown as %+v, which is not described", name, e)
			}
		}
	})
}

func TestOperationNames(t *testing.T) {
	t.Parallel()
	var methods, names []string
	for m := range reflect.TypeFor[api.StrictServerInterface]().Methods() {
		methods = append(methods, m.Name)
	}
	for _, o := range api.Operations() {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	if d := cmp.Diff(methods, names); d != "" {
		t.Error(d)
	}
}

func written(t *testing.T, doc *openapi3.T, o api.Operation) *openapi3.Operation {
	t.Helper()
	w := doc.Paths.Value(o.Path).GetOperation(o.Method)
	if w == nil || w.OperationID != o.ID {
		t.Fatalf("%s %s is not %s", o.Method, o.Path, o.ID)
	}
	return w
}

// long are the texts that only the operation's x-max-bytes bounds: they are never
// indexed.
var long = []string{"WriteFile.text", "BatchFiles.writes.text", "ProposeDiff.patch", "PostMessage.content.text", "StartRun.agent.instructions"}

func unbounded(t *testing.T, at string, ref *openapi3.SchemaRef) {
	t.Helper()
	s := ref.Value
	if s.Type.Is("string") && s.MaxLength == nil && s.Format != "date-time" && len(s.Enum) == 0 && !slices.Contains(long, at) {
		t.Errorf("%s has no maxLength", at)
	}
	if s.Type.Is("array") {
		if s.MaxItems == nil {
			t.Errorf("%s has no maxItems", at)
		}
		unbounded(t, at, s.Items)
	}
	for name, property := range s.Properties {
		unbounded(t, at+"."+name, property)
	}
}
