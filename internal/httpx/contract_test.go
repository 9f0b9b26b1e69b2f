package httpx

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// server is the document's server with a few operations; the others panic.
type server struct {
	api.StrictServerInterface
	saw func(request any)
}

func (s server) CreateProject(_ context.Context, r api.CreateProjectRequestObject) (api.CreateProjectResponseObject, error) {
	s.saw(r)
	return api.CreateProject200JSONResponse{}, nil
}

func (s server) UpdateProject(_ context.Context, r api.UpdateProjectRequestObject) (api.UpdateProjectResponseObject, error) {
	s.saw(r)
	return nil, fault.New(fault.Precondition, "precondition_failed", "Somebody else was first.")
}

func (s server) ListProjects(_ context.Context, r api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
	s.saw(r)
	return unwritable{}, nil
}

func (s server) Logout(_ context.Context, r api.LogoutRequestObject) (api.LogoutResponseObject, error) {
	s.saw(r)
	return api.Logout200JSONResponse{OK: true}, nil
}

func (s server) PutUpload(_ context.Context, r api.PutUploadRequestObject) (api.PutUploadResponseObject, error) {
	raw, err := io.ReadAll(r.Body)
	s.saw(string(raw))
	return api.PutUpload200JSONResponse{OK: true}, err
}

func (s server) StreamSession(_ context.Context, r api.StreamSessionRequestObject) (api.StreamSessionResponseObject, error) {
	s.saw(r)
	return frames{}, nil
}

// unwritable is an answer that cannot be encoded.
type unwritable struct{}

func (unwritable) VisitListProjectsResponse(http.ResponseWriter) error {
	return errors.New("encode answer: no")
}

// frames is a stream that breaks off.
type frames struct{}

func (frames) VisitStreamSessionResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "id: 7\ndata: {}\n\n")
	return errors.New("the log is away")
}

// document is the whole API, asked by the principal that a test puts in.
func document(t *testing.T, who identity.Principal, saw func(any)) *rig {
	t.Helper()
	if saw == nil {
		saw = func(any) {}
	}
	h, err := New(Options{Hooks: Hooks{
		Authenticate: func(_ context.Context, shown Credentials) (identity.Principal, error) {
			if shown.Bearer == "" {
				return identity.Principal{}, ErrUnauthorized
			}
			return who, nil
		},
		Exists: func(_ context.Context, _ api.Operation, params map[string]string) error {
			if params["project_id"] == "proj_unknown" {
				return fault.New(fault.NotFound, "project_not_found", "There is no such project.")
			}
			return nil
		},
	}}, server{saw: saw})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{edge: h.(*edge)}
}

func admin() identity.Principal { return rigTokens["admin-token"] }

// pathOf is a path of the operation with some id for each parameter.
func pathOf(o api.Operation) string {
	parts := strings.Split(o.GinPath, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ":") {
			parts[i] = "x_1"
		}
	}
	return DefaultBasePath + strings.Join(parts, "/")
}

func TestEveryOperation(t *testing.T) {
	t.Parallel()

	t.Run("knows who may use it", func(t *testing.T) {
		t.Parallel()
		for _, roles := range [][]string{{"admin"}, {"auditor"}, {"developer"}, {"viewer"}, {"stranger"}, nil} {
			who := identity.Principal{UserID: "user_1", Kind: identity.User, Roles: roles}
			d := document(t, who, nil)
			for _, o := range api.Operations() {
				got := d.do(t, o.Method, pathOf(o), "{")
				if refused := got.status == http.StatusForbidden; refused == who.May(o.Permission) {
					t.Errorf("%v at %s (%s): %d", roles, o.ID, o.Permission, got.status)
				}
			}
		}
	})

	t.Run("knows nobody without credentials, unless it is public", func(t *testing.T) {
		t.Parallel()
		d := document(t, admin(), nil)
		for _, o := range api.Operations() {
			got := d.do(t, o.Method, pathOf(o), "{", "Authorization", "")
			if refused := got.status == http.StatusUnauthorized; refused == o.Public {
				t.Errorf("%s: %d", o.ID, got.status)
			}
		}
	})

	t.Run("with a JSON body refuses what is none", func(t *testing.T) {
		t.Parallel()
		d := document(t, admin(), nil)
		for _, o := range api.Operations() {
			if o.Body != api.JSONBody {
				continue
			}
			for body, code := range map[string]string{
				"{": "invalid_json", "[]": "invalid_json", "null": "invalid_json", `{"a":"\u0000"}`: "invalid_json", `{"a":1,"a":1}`: "invalid_json",
				`{"a":1e999}`: "invalid_json", `{"a":"\ud800"}`: "invalid_json", "{} {}": "invalid_json",
			} {
				d.do(t, o.Method, pathOf(o), body).is(t, http.StatusBadRequest, code)
			}
			d.do(t, o.Method, pathOf(o), strings.Repeat(" ", int(o.MaxBytes))+"{}").is(t, http.StatusRequestEntityTooLarge, "payload_too_large")
			if o.BodyRequired {
				d.do(t, o.Method, pathOf(o), "").is(t, http.StatusBadRequest, "missing_body")
				d.do(t, o.Method, pathOf(o), "{ }").is(t, http.StatusBadRequest, "missing_body")
			}
		}
	})

	t.Run("prefers a missing project to a wrong body, unless the document says otherwise", func(t *testing.T) {
		t.Parallel()
		d := document(t, admin(), nil)
		for _, o := range api.Operations() {
			if o.Body != api.JSONBody || !strings.Contains(o.GinPath, ":project_id") {
				continue
			}
			got := d.do(t, o.Method, strings.Replace(pathOf(o), "x_1", "proj_unknown", 1), "{")
			if want := map[bool]int{true: 400, false: 404}[o.BodyFirst]; got.status != want {
				t.Errorf("%s: %d, want %d", o.ID, got.status, want)
			}
		}
	})

	t.Run("has answers for HEAD and other methods", func(t *testing.T) {
		t.Parallel()
		d := document(t, admin(), nil)
		for _, o := range api.Operations() {
			got := d.do(t, "TRACE", pathOf(o), "")
			got.is(t, http.StatusMethodNotAllowed, "method_not_allowed")
			if !strings.Contains(got.header.Get("Allow"), o.Method) {
				t.Errorf("%s: Allow is %q", o.ID, got.header.Get("Allow"))
			}
		}
	})
}

// TestCodes holds the codes that this package answers against the document, which
// clients read.
func TestCodes(t *testing.T) {
	t.Parallel()
	documented := api.Errors()
	for _, err := range []*fault.Error{
		ErrUnauthorized, errForbidden, errNotFound, errMethodNotAllowed, errInternal, errBusy, errTooSlow, errTooLarge, errBroken, errSlow,
		errMissingBody, errInvalidJSON, errInvalidRequest,
	} {
		entry, ok := documented[err.Code]
		if !ok || entry.Status != status(err.Kind) || entry.Retryable != err.Retryable() {
			t.Errorf("%s: %d, retryable %v; the document has %+v", err.Code, status(err.Kind), err.Retryable(), entry)
		}
	}
}

func TestGeneratedCode(t *testing.T) {
	t.Parallel()

	t.Run("gets the body that was checked", func(t *testing.T) {
		t.Parallel()
		var saw any
		d := document(t, admin(), func(r any) { saw = r })
		d.do(t, "POST", "/api/v1/projects", `{"name":"a","NAME":5,"repo":{"n":12345678901234567890}}`).ok(t)
		r, ok := saw.(api.CreateProjectRequestObject)
		if !ok || r.Body.Name != "a" || !strings.Contains(string(r.Body.Repo), "12345678901234567890") {
			t.Errorf("saw %+v", saw)
		}
	})

	t.Run("gets path parameters as they were written", func(t *testing.T) {
		t.Parallel()
		var saw any
		d := document(t, admin(), func(r any) { saw = r })
		d.do(t, "PATCH", "/api/v1/projects/proj%5Fx", `{"name":"b"}`).is(t, http.StatusPreconditionFailed, "precondition_failed")
		if r, ok := saw.(api.UpdateProjectRequestObject); !ok || r.ProjectID != "proj%5Fx" {
			t.Errorf("saw %+v", saw)
		}
	})

	t.Run("has its four errors answered in one shape", func(t *testing.T) {
		t.Parallel()
		d := document(t, admin(), nil)
		e := d.do(t, "GET", "/api/v1/projects?limit=abc", "").is(t, 400, "invalid_request")
		if e.Details["field"] != "limit" || !strings.HasPrefix(e.Message, "The parameter limit must be an integer: How many items to answer, from 1 to 200.") {
			t.Errorf("%q, details %v", e.Message, e.Details)
		}
		if e := d.do(t, "POST", "/api/v1/projects", `{"name":5}`).is(t, 400, "invalid_request"); e.Details["field"] != "name" {
			t.Errorf("details %v", e.Details)
		}
		d.do(t, "PATCH", "/api/v1/projects/p", `{"name":"b"}`).is(t, 412, "precondition_failed")
		d.do(t, "GET", "/api/v1/projects", "").is(t, 500, "internal_error")
		d.do(t, "GET", "/api/v1/me", "").is(t, 500, "internal_error") // which has no handler here
		d.validate = func(string, []byte) error { return nil }
		if e := d.do(t, "POST", "/api/v1/projects", `{"name":5}`).is(t, 400, "invalid_request"); e.Details["field"] != "name" {
			t.Errorf("details of what does not decode: %v", e.Details)
		}
	})

	t.Run("leaves limits to the handler", func(t *testing.T) {
		t.Parallel()
		var saw any
		d := document(t, admin(), func(r any) { saw = r })
		d.do(t, "GET", "/api/v1/projects?limit=100000&default=1", "")
		if r, ok := saw.(api.ListProjectsRequestObject); !ok || r.Params.Limit == nil || *r.Params.Limit != 100000 {
			t.Errorf("saw %+v", saw)
		}
	})

	t.Run("takes an absent optional body for none", func(t *testing.T) {
		t.Parallel()
		var saw any
		d := document(t, admin(), func(r any) { saw = r })
		for body, want := range map[string]bool{"": false, " ": false, "{}": true} {
			d.do(t, "POST", "/api/v1/auth/logout", body).ok(t)
			if r, ok := saw.(api.LogoutRequestObject); !ok || (r.Body != nil) != want {
				t.Errorf("%q: saw %+v", body, saw)
			}
		}
	})

	t.Run("gets an upload's bytes, whatever they are called", func(t *testing.T) {
		t.Parallel()
		var saw any
		d := document(t, admin(), func(r any) { saw = r })
		for _, ct := range []string{"", "image/png", "application/json"} {
			d.do(t, "PUT", "/api/v1/uploads/u1", "{\x00", "Content-Type", ct).ok(t)
			if saw != "{\x00" {
				t.Errorf("%s: saw %q", ct, saw)
			}
		}
	})

	t.Run("gets nothing appended to a stream that broke off", func(t *testing.T) {
		t.Parallel()
		d := document(t, admin(), nil)
		if got := d.do(t, "GET", "/api/v1/stream/sessions/s1?from_cursor=3", ""); got.status != 200 || got.body != "id: 7\ndata: {}\n\n" {
			t.Errorf("got %d %q", got.status, got.body)
		}
		if e := d.do(t, "GET", "/api/v1/stream/sessions/s1", "", "Last-Event-ID", "x").is(t, 400, "invalid_request"); e.Details["field"] != "Last-Event-ID" {
			t.Errorf("details %v", e.Details)
		}
	})
}

// FuzzRouting sends any path and method: the answer is never ours to be ashamed
// of.
func FuzzRouting(f *testing.F) {
	for _, seed := range []string{"/api/v1", "/api/v1/projects/x/files/tree", "/api/v1/admin/users/%00", "//", "/api/v1/projects//sessions", "/api/v1/sessions/:session_id", "*"} {
		f.Add("DELETE", seed)
	}
	h, err := New(Options{Hooks: Hooks{Authenticate: func(context.Context, Credentials) (identity.Principal, error) {
		return identity.Principal{}, ErrUnauthorized
	}}}, server{saw: func(any) {}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://x", nil)
		if err != nil || method == http.MethodConnect {
			return
		}
		parsed, err := req.URL.Parse(path)
		if err != nil {
			return
		}
		req.URL = parsed
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		switch w.Code {
		case 204, 401, 404, 405:
		case 500: // a public operation, which has no handler here
			if !strings.Contains(path, "api/v1") {
				t.Errorf("%s %q: %d", method, path, w.Code)
			}
		default:
			t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
	})
}
