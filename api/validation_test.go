package api_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/fault"
)

func TestValidateBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ operation, body, field, text string }{
		"a body that fits":                      {"CreateProject", `{"name":"a","repo":{"n":12345678901234567890}}`, "", ""},
		"unknown members":                       {"CreateProject", `{"name":"a","colour":5}`, "", ""},
		"an operation without a body":           {"GetMe", `{"name":5}`, "", ""},
		"a member that is missing":              {"CreateSession", `{"tags":[]}`, "title", "title is required."},
		"one that is missing deeper":            {"QueryTelemetry", `{"stream_id":"s","time_range":{"from":"2026-01-01T00:00:00Z"}}`, "time_range.to", "time_range.to is required."},
		"a wrong type":                          {"CreateProject", `{"name":5}`, "name", "name must be text, not a number."},
		"null, which is no text":                {"UpdateProject", `{"name":null}`, "name", "name must be text, not null."},
		"a wrong type in a list":                {"CreateSession", `{"title":"a","tags":["x",5]}`, "tags.1", "tags.1 must be text, not a number."},
		"text where a list is expected":         {"CreateSession", `{"title":"a","tags":"x"}`, "tags", "tags must be a list, not text."},
		"a fraction where none is":              {"CreateUpload", `{"filename":"a","content_type":"b","size_bytes":1.5}`, "size_bytes", "size_bytes must be an integer, not a number."},
		"digits in text":                        {"CreateUpload", `{"filename":"a","content_type":"b","size_bytes":"1"}`, "size_bytes", "size_bytes must be an integer, not text."},
		"too much":                              {"CreateUpload", `{"filename":"a","content_type":"b","size_bytes":209715201}`, "size_bytes", "size_bytes must be at most 209715200."},
		"too little":                            {"CommentDiff", `{"path":"a","line":-1,"comment":"b"}`, "line", "line must be at least 0."},
		"a blank name":                          {"CreateProject", `{"name":" \t"}`, "name", "name must not be blank."},
		"a name of Unicode's spaces":            {"CreateProject", "{\"name\":\"\u00a0\u2003\"}", "name", "name must not be blank."},
		"text of as many characters as allowed": {"CreateProject", `{"name":"` + strings.Repeat("ä", 200) + `"}`, "", ""},
		"text of one too many":                  {"CreateProject", `{"name":"` + strings.Repeat("ä", 201) + `"}`, "name", "name must have at most 200 characters."},
		"an address that is none":               {"CreateUser", `{"name":"a","email":"b","roles":[]}`, "email", "email is no valid email."},
		"a time that is none":                   {"QueryTelemetry", `{"stream_id":"s","time_range":{"from":"yesterday","to":"2026-01-01T00:00:00Z"}}`, "time_range.from", "time_range.from is no valid date-time."},
		"a word that is not listed":             {"RegisterTool", `{"name":"a","scope":"b","description":"","schema":{},"handler":{"type":"perl"}}`, "handler.type", "handler.type must be one of python, http."},
		"the first of several":                  {"StartRun", `{"mode":5,"input":[]}`, "agent", "agent is required."},
		"content without a type":                {"PostMessage", `{"role":"user","content":[{"text":"hi"}]}`, "", ""},
		"content that is no list":               {"PostMessage", `{"role":"user","content":"hi"}`, "content", "content must be a list, not text."},
		"content of texts":                      {"PostMessage", `{"role":"user","content":["hi"]}`, "content.0", "content.0 must be an object, not text."},
		"any value, null too":                   {"StartWorkflowRun", `{"inputs":null}`, "", ""},
		"settings that nobody knows":            {"UpdateSettings", `{"custom":[1,{"a":null}],"ui":{"theme":"x","y":1}}`, "", ""},
		"settings of a wrong type":              {"UpdateSettings", `{"providers":[{"provider_id":"g4f","enabled":"yes"}]}`, "providers.0.enabled", "providers.0.enabled must be a boolean, not text."},
		"a batch whose items miss members":      {"BatchFiles", `{"reads":[{}],"writes":[{"path":"a"}]}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := api.ValidateBody(c.operation, []byte(c.body))
			if c.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			known, ok := errors.AsType[*fault.Error](err)
			if !ok || known.Code != "invalid_request" || known.Details["field"] != c.field || known.Text != c.text {
				t.Errorf("got %+v, want %q for %s", known, c.text, c.field)
			}
		})
	}

	t.Run("never repeats the value", func(t *testing.T) {
		t.Parallel()
		const secret = "hunter2"
		for operation, body := range map[string]string{
			"CreateUser":     `{"name":"a","email":"` + secret + `","roles":[],"password":["` + secret + `"]}`,
			"UpdateSettings": `{"providers":[{"provider_id":"a","api_key":{"` + secret + `":1}}]}`,
			"RegisterTool":   `{"name":"a","scope":"b","description":"","schema":{},"handler":{"type":"` + secret + `"}}`,
		} {
			if err := api.ValidateBody(operation, []byte(body)); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", operation, err)
			}
		}
	})

	t.Run("what is not JSON says so", func(t *testing.T) {
		t.Parallel()
		known, ok := errors.AsType[*fault.Error](api.ValidateBody("CreateProject", []byte(`{"name":`)))
		if !ok || known.Code != "invalid_json" {
			t.Errorf("got %v", known)
		}
	})
}

func BenchmarkValidateBody(b *testing.B) {
	api.Compile()
	for name, c := range map[string]struct{ operation, body string }{
		"project": {"CreateProject", `{"name":"a","description":"what it is","repo":{"url":"https://example.org/a.git"}}`},
		"message": {"PostMessage", `{"role":"user","content":[{"type":"text","text":"Why does the build fail?"}]}`},
	} {
		b.Run(name, func(b *testing.B) {
			raw := []byte(c.body)
			b.ReportAllocs()
			for b.Loop() {
				if err := api.ValidateBody(c.operation, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
