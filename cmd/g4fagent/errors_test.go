package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/api"
)

// elsewhere are the codes that no single request can provoke, and who proves
// them.
var elsewhere = map[string]string{
	"conflict":      "another node appends to the same stream: package commands",
	"in_progress":   "the first request has not ended: package commands",
	"storage_full":  "the log's disk is full: package eventlog",
	"limit_reached": "ten thousand sessions in a project: package commands",
}

// impossible are codes that an operation lists because all like it do.
var impossible = map[string]string{
	"DELETE idempotency_key_reused": "the key's scope is the path, and there is no other input",
	"NoBody idempotency_key_reused": "the key's scope is the path, and there is no other input",
	"UpdateUser last_admin":         "TestLastAdministrator, on a server of its own",
	"DeleteUser last_admin":         "TestLastAdministrator, on a server of its own",
}

// Every code that the document lists for an operation is provoked once, and the
// operation does what it is for. Operations that are documented and not there yet
// answer so.
func TestEveryDocumentedError(t *testing.T) {
	t.Parallel()
	root := admin(t)
	for _, o := range api.Operations() {
		if o.Stream {
			continue // TestStream
		}
		t.Run(o.ID, func(t *testing.T) {
			t.Parallel()
			p := newProber(t, root, o)
			path, made := p.path(o)
			a := p.ask(path, p.body(t, o, made))
			switch {
			case a.status == http.StatusNotImplemented:
				t.Log("pending")
				return
			case a.status == http.StatusNotFound && strings.Contains(path, "none_0"): // which a test cannot make
			default:
				a.want(t, http.StatusOK, "")
			}
			for _, code := range own(o) {
				if elsewhere[code] == "" && impossible[o.Name+" "+code] == "" && (o.Body == api.JSONBody || impossible["NoBody "+code] == "") {
					t.Run(code, func(t *testing.T) {
						newProber(t, root, o).provoke(t, code)
					})
				}
			}
			p.precedence(t)
		})
	}
}

// own are the codes that the operation lists itself.
func own(o api.Operation) []string {
	common := []string{"unauthorized", "forbidden", "rate_limited", "internal_error", "not_implemented", "unavailable"}
	return slices.DeleteFunc(slices.Clone(o.ErrorCodes), func(code string) bool { return slices.Contains(common, code) })
}

// prober asks one operation.
type prober struct {
	fixtures

	o api.Operation
}

// newProber asks as an administrator. Who logs out is somebody else each time.
func newProber(t *testing.T, root *client, o api.Operation) prober {
	t.Helper()
	who := root.on(t)
	if o.Name == "Logout" {
		who = who.person("viewer").client
	}
	return prober{fixtures{who}, o}
}

func (p prober) ask(path string, body any, headers ...string) answer {
	raw := ""
	if m, ok := body.(map[string]any); ok && m == nil {
		body = nil
	}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			p.server.t.Fatal(err)
		}
		raw = string(b)
	}
	return p.send(p.o.Method, path, raw, headers...)
}

// absent are the ids by the code that says that nothing has them.
var absent = map[string]string{
	"provider_not_found": "provider_id", "project_not_found": "project_id", "session_not_found": "session_id", "run_not_found": "run_id",
	"tool_not_found": "tool_id", "diff_not_found": "diff_id", "terminal_not_found": "terminal_id", "deployment_not_found": "deployment_id",
	"workflow_not_found": "workflow_id", "artifact_not_found": "artifact_id", "upload_not_found": "upload_id", "file_not_found": "file_id",
	"user_not_found": "user_id",
}

func (p prober) provoke(t *testing.T, code string) {
	t.Helper()
	status := api.Errors()[code].Status
	if param := absent[code]; strings.Contains(p.o.Path, "{"+param+"}") {
		path, made := p.path(p.o)
		path = strings.Replace(path, made[param], "none_0", 1)
		p.ask(path, p.body(t, p.o, made)).want(t, status, code)
		return
	}
	path, made := p.path(p.o)
	switch code {
	case "missing_body":
		p.send(p.o.Method, path, "").want(t, status, code)
		p.send(p.o.Method, path, " { } ").want(t, status, code)
	case "invalid_json":
		for _, body := range []string{`{"name":`, `[1]`, `"text"`, `{"a":1}x`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}"} {
			p.send(p.o.Method, path, body).want(t, status, code)
		}
	case "invalid_request":
		p.invalid(t, path, made)
	case "payload_too_large":
		p.tooLarge(t, path)
	case "precondition_failed":
		p.ask(path, p.body(t, p.o, made), "If-Match", `"987654"`).want(t, status, code)
	case "idempotency_key_reused":
		first, key := p.body(t, p.o, made), "key-"+p.o.ID
		p.ask(path, first, "Idempotency-Key", key).want(t, http.StatusOK, "")
		first["another_member"] = 1
		p.ask(path, first, "Idempotency-Key", key).want(t, status, code)
	default:
		p.special(t, code, path)
	}
}

// special are the codes of single operations.
func (p prober) special(t *testing.T, code, path string) {
	t.Helper()
	var body map[string]any
	switch code {
	case "invalid_credentials":
		body = map[string]any{"method": "password", "email": "nobody@example.org", "password": "wrong"}
	case "invalid_method":
		body = map[string]any{"method": "magic"}
	case "invalid_refresh_token":
		body = map[string]any{"refresh_token": "none"}
	case "email_taken":
		body = map[string]any{"name": "Again", "email": strings.ToUpper(email), "roles": []string{}}
	case "message_not_found":
		body = newRun("msg_0")
	case "tool_name_taken":
		body = p.body(t, p.o, nil)
		p.ask(path, body).want(t, http.StatusOK, "")
	default:
		t.Fatalf("nobody provokes %s", code)
	}
	p.ask(path, body).want(t, api.Errors()[code].Status, code)
}

// invalid asks for what does not fit the document in every place where it can
// not: each answer names it.
func (p prober) invalid(t *testing.T, path string, made map[string]string) {
	t.Helper()
	if p.o.Body == api.JSONBody {
		body := p.body(t, p.o, made)
		field := misfit(p.o, body)
		p.ask(path, body).named(t, field)
	}
	path, _, _ = strings.Cut(path, "?")
	for _, ref := range parametersOf(p.o) {
		body := p.body(t, p.o, made)
		switch param := ref.Value; {
		case param.In == "query" && param.Schema.Value.Type.Is("integer"):
			p.ask(path+"?"+param.Name+"=abc", body).named(t, param.Name)
		case param.In == "query" && param.Schema.Value.Format == "date-time":
			p.ask(path+"?"+param.Name+"=yesterday", body).named(t, param.Name)
		case param.In == "query" && param.Required:
			p.ask(path, body).named(t, param.Name)
		case param.Name == "Idempotency-Key":
			p.ask(path, body, param.Name, "two words").named(t, param.Name)
		case param.Name == "If-Match", param.Name == "X-Min-Position":
			p.ask(path, body, param.Name, "seven").named(t, param.Name)
		}
	}
}

// named fails the test unless the answer refuses the field.
func (a answer) named(t testing.TB, field string) {
	t.Helper()
	a.want(t, http.StatusBadRequest, "invalid_request")
	var e struct {
		Error struct{ Details struct{ Field string } }
	}
	if err := json.Unmarshal(a.body, &e); err != nil || e.Error.Details.Field != field {
		t.Errorf("answered %s, want details.field %q", a.body, field)
	}
}

// tooLarge sends one byte too many, with and without saying so before.
func (p prober) tooLarge(t *testing.T, path string) {
	t.Helper()
	if p.o.MaxBytes > 8<<20 {
		return // more than a test should send
	}
	body := fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", int(p.o.MaxBytes)))
	p.send(p.o.Method, path, body).want(t, http.StatusRequestEntityTooLarge, "payload_too_large")
}

// bodyFirst are the operations that judge the body before they ask whether what
// the path names is there. Everywhere else the path is the first mistake.
var bodyFirst = []string{"InvokeTool", "WriteFile", "LintFiles", "SearchFiles", "CheckoutRepo", "CommitRepo"}

func (p prober) precedence(t *testing.T) {
	t.Helper()
	if p.o.Body != api.JSONBody || !strings.Contains(p.o.Path, "{") {
		return
	}
	for body, code := range map[string]string{"": "missing_body", "[]": "invalid_json"} {
		if body == "" && !p.o.BodyRequired {
			continue
		}
		a := p.send(p.o.Method, nowhere(p.o.Path), body)
		if slices.Contains(bodyFirst, p.o.Name) {
			a.want(t, http.StatusBadRequest, code)
		} else if a.status != http.StatusNotFound {
			t.Errorf("a wrong body at a wrong path is answered %d %s", a.status, a.body)
		}
	}
}
