package main_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/g4fagent/g4fagent/api"
)

// fixtures make what an operation's path names, anew for each request.
type fixtures struct{ *client }

// path fills the operation's path with things that are there; of what a test
// cannot make, with the id of none.
func (f fixtures) path(o api.Operation) (path string, made map[string]string) {
	made = map[string]string{}
	parts := strings.Split(o.Path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			made[name] = f.make(name, made)
			parts[i] = made[name]
		}
	}
	query := url.Values{}
	for _, ref := range parametersOf(o) {
		if ref.Value.In == "query" && ref.Value.Required {
			query.Set(ref.Value.Name, "sample")
		}
	}
	return strings.TrimSuffix(strings.Join(parts, "/")+"?"+query.Encode(), "?"), made
}

func parametersOf(o api.Operation) openapi3.Parameters {
	return documents().requests.Paths.Value(o.Path).GetOperation(o.Method).Parameters
}

func (f fixtures) make(name string, made map[string]string) string {
	switch name {
	case "project_id":
		return f.project()
	case "session_id":
		made["project_id"] = f.project()
		return f.session(made["project_id"])
	case "run_id":
		session := f.make("session_id", made)
		made["session_id"] = session
		return f.run(session)
	case "user_id":
		return f.user()
	case "provider_id":
		return f.provider()
	default:
		return "none_0"
	}
}

func (c *client) user() string {
	var u struct{ User struct{ ID string } }
	c.must("POST", "/admin/users", "", map[string]any{"name": "U", "email": newEmail(), "roles": []string{"viewer"}}, &u)
	return u.User.ID
}

// provider is one that can be asked and does not answer, and that offers a model
// all the same, since the settings say so.
func (c *client) provider() string {
	c.must("PUT", "/settings", "", map[string]any{"providers": []map[string]any{
		{"provider_id": "ollama", "base_url": "http://127.0.0.1:1", "models": []string{"m"}},
	}}, nil)
	return "ollama"
}

func (c *client) message(session string) string {
	var m struct {
		MessageID string `json:"message_id"`
	}
	c.must("POST", "/sessions/"+session+"/messages", "", text("hello"), &m)
	return m.MessageID
}

func (c *client) run(session string) string {
	var r struct {
		RunID string `json:"run_id"`
	}
	c.must("POST", "/sessions/"+session+"/runs", "", newRun(c.message(session)), &r)
	return r.RunID
}

func newRun(message string) map[string]any {
	return map[string]any{"mode": "chat", "agent": map[string]any{}, "input": map[string]any{"message_id": message}}
}

var emails atomic.Uint32

func newEmail() string { return fmt.Sprintf("sample%d@example.org", emails.Add(1)) }

// body is one that the operation takes, made from the document, with what the
// document cannot say: ids and addresses.
func (f fixtures) body(t testing.TB, o api.Operation, made map[string]string) map[string]any {
	t.Helper()
	if o.Body != api.JSONBody {
		return nil
	}
	schema := schemaOf(o)
	body, ok := sample(schema).(map[string]any)
	if !ok {
		t.Fatalf("%s takes no object", o.ID)
	}
	if len(body) == 0 { // nothing is required: one member will do, best a text
		names := slices.Sorted(keys(schema.Properties))
		i := slices.IndexFunc(names, func(name string) bool { return schema.Properties[name].Value.Type.Is("string") })
		name := names[max(i, 0)]
		body[name] = sample(schema.Properties[name].Value)
	}
	switch o.Name {
	case "Login":
		return map[string]any{"method": "password", "email": email, "password": password}
	case "RefreshLogin":
		return map[string]any{"refresh_token": f.person("viewer").logIn().RefreshToken}
	case "CreateTicket":
		return map[string]any{"path": "/stream/sessions/sess_0"}
	case "CreateUser":
		body["email"] = newEmail()
	case "UpdateSettings":
		body["default_model_id"] = newEmail() // what changes nothing is not remembered under its key
	case "ScanProviders":
		return map[string]any{"include": []string{f.provider()}}
	case "CreateSession":
		body["provider_id"], body["model_id"] = "custom", "m"
	case "StartRun":
		return newRun(f.message(made["session_id"]))
	}
	return body
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func schemaOf(o api.Operation) *openapi3.Schema {
	return documents().requests.Paths.Value(o.Path).GetOperation(o.Method).RequestBody.Value.Content.Get("application/json").Schema.Value
}

// sample is a value that fits the schema: as little as it takes.
func sample(s *openapi3.Schema) any {
	switch {
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Is("object"):
		object := map[string]any{}
		for _, name := range s.Required {
			object[name] = sample(s.Properties[name].Value)
		}
		return object
	case s.Type.Is("array"):
		return []any{}
	case s.Type.Is("boolean"):
		return true
	case s.Type.Is("integer"), s.Type.Is("number"):
		return 1
	case s.Format == "date-time":
		return "2026-01-01T00:00:00Z"
	default:
		return "sample"
	}
}

// misfit makes a member of the body one of the wrong type, or leaves one out, and
// says which.
func misfit(o api.Operation, body map[string]any) (field string) {
	schema := schemaOf(o)
	for _, name := range slices.Concat(schema.Required, slices.Sorted(keys(schema.Properties))) {
		switch s := schema.Properties[name].Value; {
		case s.Type.Is("string"):
			body[name] = 7
			return name
		case s.Type != nil:
			body[name] = "text"
			return name
		}
	}
	delete(body, schema.Required[0]) // all are free
	body["other"] = 1
	return schema.Required[0]
}
