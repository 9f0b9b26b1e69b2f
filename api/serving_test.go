package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin" //nolint:depguard // the generated code is gin's
	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/api"
)

// server answers what a test sets; any other operation is a nil method and panics.
type server struct {
	api.StrictServerInterface

	getMe         func(context.Context) (api.GetMeResponseObject, error)
	listProjects  func(api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error)
	listMessages  func(api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error)
	listAudit     func(api.ListAuditRequestObject) (api.ListAuditResponseObject, error)
	getFileTree   func(api.GetFileTreeRequestObject) (api.GetFileTreeResponseObject, error)
	readFile      func(api.ReadFileRequestObject) (api.ReadFileResponseObject, error)
	batchFiles    func(api.BatchFilesRequestObject) (api.BatchFilesResponseObject, error)
	updateSession func(api.UpdateSessionRequestObject) (api.UpdateSessionResponseObject, error)
	putUpload     func(api.PutUploadRequestObject) (api.PutUploadResponseObject, error)
	streamSession func(api.StreamSessionRequestObject) (api.StreamSessionResponseObject, error)
}

func (s server) GetMe(ctx context.Context, _ api.GetMeRequestObject) (api.GetMeResponseObject, error) {
	return s.getMe(ctx)
}

func (s server) ListProjects(_ context.Context, r api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
	return s.listProjects(r)
}

func (s server) ListMessages(_ context.Context, r api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	return s.listMessages(r)
}

func (s server) ListAudit(_ context.Context, r api.ListAuditRequestObject) (api.ListAuditResponseObject, error) {
	return s.listAudit(r)
}

func (s server) GetFileTree(_ context.Context, r api.GetFileTreeRequestObject) (api.GetFileTreeResponseObject, error) {
	return s.getFileTree(r)
}

func (s server) ReadFile(_ context.Context, r api.ReadFileRequestObject) (api.ReadFileResponseObject, error) {
	return s.readFile(r)
}

func (s server) BatchFiles(_ context.Context, r api.BatchFilesRequestObject) (api.BatchFilesResponseObject, error) {
	return s.batchFiles(r)
}

func (s server) UpdateSession(_ context.Context, r api.UpdateSessionRequestObject) (api.UpdateSessionResponseObject, error) {
	return s.updateSession(r)
}

func (s server) PutUpload(_ context.Context, r api.PutUploadRequestObject) (api.PutUploadResponseObject, error) {
	return s.putUpload(r)
}

func (s server) StreamSession(_ context.Context, r api.StreamSessionRequestObject) (api.StreamSessionResponseObject, error) {
	return s.streamSession(r)
}

// routes is the generated router; errors are answered by their hook's name.
func routes(s server) http.Handler {
	hook := func(status int, name string) func(*gin.Context, error) {
		return func(c *gin.Context, err error) { c.String(status, "%s: %v", name, err) }
	}
	handler := api.NewStrictHandler(s, api.StrictGinServerOptions{
		RequestErrorHandlerFunc: hook(400, "request"), HandlerErrorFunc: hook(409, "handler"), ResponseErrorHandlerFunc: hook(500, "response"),
	})
	engine := gin.New()
	api.RegisterHandlersWithOptions(engine, handler, api.GinServerOptions{
		BaseURL: "/api/v1", ErrorHandler: func(c *gin.Context, err error, status int) { hook(status, "parameter")(c, err) },
	})
	return engine
}

func do(s server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "/api/v1"+path, reader)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	routes(s).ServeHTTP(w, r)
	return w
}

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	m.Run()
}

func TestRouting(t *testing.T) {
	t.Parallel()

	t.Run("every operation has its route, and nothing else has one", func(t *testing.T) {
		t.Parallel()
		got := map[string]bool{}
		for _, r := range routes(server{}).(*gin.Engine).Routes() { //nolint:forcetypeassert // routes makes one
			got[r.Method+" "+r.Path] = true
		}
		want := map[string]bool{}
		for _, o := range api.Operations() {
			want[o.Method+" /api/v1"+o.GinPath] = true
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})

	t.Run("a handler's context is the request's, never gin's own", func(t *testing.T) {
		t.Parallel()
		type key struct{}
		s := server{getMe: func(ctx context.Context) (api.GetMeResponseObject, error) {
			if _, pooled := ctx.(*gin.Context); pooled {
				t.Error("the context will be the next request's")
			}
			return api.UserEnvelope{User: api.User{Name: ctx.Value(key{}).(string)}}, nil //nolint:forcetypeassert // set below
		}}
		r := httptest.NewRequest(http.MethodGet, "/api/v1/me", nil)
		w := httptest.NewRecorder()
		routes(s).ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "alice")))
		if w.Code != 200 || !strings.Contains(w.Body.String(), "alice") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})

	t.Run("each failure goes to its hook", func(t *testing.T) {
		t.Parallel()
		failing := server{
			listProjects: func(api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
				return nil, errors.New("no")
			},
			getMe: func(context.Context) (api.GetMeResponseObject, error) {
				return api.UserEnvelope{User: api.User{CreatedAt: api.Time(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))}}, nil
			},
		}
		for request, want := range map[[3]string]string{
			{"GET", "/projects", ""}:           "409 handler: ",
			{"GET", "/projects?limit=abc", ""}: "400 parameter: parameter limit: ",
			{"POST", "/projects", "{"}:         "400 request: ",
			{"POST", "/projects", ""}:          "400 request: EOF",
			{"GET", "/me", ""}:                 "500 response: encode answer: ",
		} {
			w := do(failing, request[0], request[1], request[2])
			if got := fmt.Sprint(w.Code, " ", w.Body); !strings.HasPrefix(got, want) {
				t.Errorf("%v: %s, want %s", request, got, want)
			}
		}
	})
}

func TestParameters(t *testing.T) {
	t.Parallel()

	t.Run("arrive with their types", func(t *testing.T) {
		t.Parallel()
		var got api.ListProjectsRequestObject
		s := server{listProjects: func(r api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
			got = r
			return api.ProjectPage{}, nil
		}}
		limit, cursor, q := 5, int64(9007199254740991), "a b&ü"
		want := api.ListProjectsParams{Limit: &limit, Cursor: &cursor, Q: &q}
		if w := do(s, "GET", "/projects?limit=5&cursor=9007199254740991&q=a%20b%26%C3%BC&default=1", ""); w.Code != 200 {
			t.Fatal(w.Body)
		}
		if d := cmp.Diff(want, got.Params); d != "" {
			t.Error(d)
		}
	})

	t.Run("of a repeated one the first counts, and an empty one is none", func(t *testing.T) {
		t.Parallel()
		var got api.ListProjectsParams
		s := server{listProjects: func(r api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
			got = r.Params
			return api.ProjectPage{}, nil
		}}
		if w := do(s, "GET", "/projects?limit=5&limit=x&cursor=&q=", ""); w.Code != 200 {
			t.Fatal(w.Body)
		}
		if got.Limit == nil || *got.Limit != 5 || got.Cursor != nil || got.Q != nil {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("that cannot be used are refused by name", func(t *testing.T) {
		t.Parallel()
		for path, name := range map[string]string{
			"/projects?limit=abc":                    "limit",
			"/projects?limit=99999999999999999999":   "limit",
			"/projects?cursor=1.5":                   "cursor",
			"/projects?q=%00":                        "q",
			"/projects?q=%ff":                        "q",
			"/projects/p/files/content":              "path",
			"/projects/p/files/content?path=":        "path",
			"/sessions/s/messages?after_ts=today":    "after_ts",
			"/sessions/s/messages?after_ts=2026-1-1": "after_ts",
			"/stream/sessions/s?from_cursor=abc":     "from_cursor",
		} {
			w := do(server{}, "GET", path, "")
			if w.Code != 400 || !strings.HasPrefix(w.Body.String(), "parameter: parameter "+name+": ") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		if w := do(server{}, "GET", "/stream/sessions/s", "", "Last-Event-ID", "abc"); w.Code != 400 || !strings.Contains(w.Body.String(), "Last-Event-ID") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})

	t.Run("times may have any offset, also one whose plus a query made a space", func(t *testing.T) {
		t.Parallel()
		want := time.Date(2026, 3, 4, 5, 6, 7, 891011000, time.UTC)
		for _, text := range []string{"2026-03-04T05:06:07.891011Z", "2026-03-04T07:06:07.891011%2B02:00", "2026-03-04T07:06:07.891011+02:00"} {
			s := server{listMessages: func(r api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
				if at := time.Time(*r.Params.AfterTS); !at.Equal(want) || r.Params.BeforeTS != nil || r.SessionID != "s" {
					t.Errorf("%s is %v", text, at)
				}
				return api.MessagePage{}, nil
			}}
			if w := do(s, "GET", "/sessions/s/messages?after_ts="+text, ""); w.Code != 200 {
				t.Errorf("%s: %s", text, w.Body)
			}
		}
	})

	t.Run("flags are true for 1, true, yes and on", func(t *testing.T) {
		t.Parallel()
		for text, want := range map[string]bool{"1": true, "true": true, "YES": true, "On": true, "0": false, "no": false, "maybe": false} {
			s := server{getFileTree: func(r api.GetFileTreeRequestObject) (api.GetFileTreeResponseObject, error) {
				if got := bool(*r.Params.IncludeHidden); got != want {
					t.Errorf("%s is %v", text, got)
				}
				return api.FileTree{}, nil
			}}
			if w := do(s, "GET", "/projects/p/files/tree?include_hidden="+text, ""); w.Code != 200 {
				t.Errorf("%s: %s", text, w.Body)
			}
		}
	})

	t.Run("headers that the operation needs arrive", func(t *testing.T) {
		t.Parallel()
		s := server{
			updateSession: func(r api.UpdateSessionRequestObject) (api.UpdateSessionResponseObject, error) {
				if r.Params.IfMatch == nil || *r.Params.IfMatch != `"7"` || *r.Body.Title != "a" || r.Body.Tags != nil {
					t.Errorf("got %+v", r)
				}
				return api.OK{OK: true}, nil
			},
			streamSession: func(r api.StreamSessionRequestObject) (api.StreamSessionResponseObject, error) {
				if r.Params.LastEventID == nil || *r.Params.LastEventID != 41 || r.Params.FromCursor != nil {
					t.Errorf("got %+v", r.Params)
				}
				return api.StreamSession204Response{}, nil
			},
		}
		if w := do(s, "PATCH", "/sessions/s", `{"title":"a"}`, "If-Match", `"7"`); w.Code != 200 || w.Body.String() != `{"ok":true}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := do(s, "GET", "/stream/sessions/s", "", "Last-Event-ID", "41"); w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestBodies(t *testing.T) {
	t.Parallel()

	t.Run("an optional one that is absent is nil", func(t *testing.T) {
		t.Parallel()
		for body, want := range map[string]bool{"": false, "{}": true} {
			s := server{batchFiles: func(r api.BatchFilesRequestObject) (api.BatchFilesResponseObject, error) {
				if got := r.Body != nil; got != want {
					t.Errorf("%q: a body is %v", body, got)
				}
				return api.FileBatchResult{}, nil
			}}
			if w := do(s, "POST", "/projects/p/files/batch", body); w.Code != 200 {
				t.Errorf("%q: %s", body, w.Body)
			}
		}
	})

	t.Run("raw ones are handed on, whatever they call themselves", func(t *testing.T) {
		t.Parallel()
		for _, contentType := range []string{"", "image/png", "application/json"} {
			s := server{putUpload: func(r api.PutUploadRequestObject) (api.PutUploadResponseObject, error) {
				text, err := io.ReadAll(r.Body)
				if string(text) != "{bytes" || err != nil || r.UploadID != "u" {
					t.Errorf("%q: read %q, %v", contentType, text, err)
				}
				return api.OK{OK: true}, nil
			}}
			if w := do(s, "PUT", "/uploads/u", "{bytes", "Content-Type", contentType); w.Code != 200 {
				t.Errorf("%q: %s", contentType, w.Body)
			}
		}
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()

	t.Run("lists are lists and absent is null, never the other way round", func(t *testing.T) {
		t.Parallel()
		s := server{listProjects: func(api.ListProjectsRequestObject) (api.ListProjectsResponseObject, error) {
			return api.ProjectPage{}, nil
		}}
		w := do(s, "GET", "/projects", "")
		if w.Body.String() != `{"items":[],"next_cursor":null}` {
			t.Error(w.Body)
		}
		if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Length") != "31" {
			t.Errorf("headers %v", w.Header())
		}
	})

	t.Run("what is empty but there is told", func(t *testing.T) {
		t.Parallel()
		empty := ""
		s := server{batchFiles: func(api.BatchFilesRequestObject) (api.BatchFilesResponseObject, error) {
			return api.FileBatchResult{Reads: []api.BatchReadResult{{Path: "a", OK: true, Text: &empty}}}, nil
		}}
		if w := do(s, "POST", "/projects/p/files/batch", ""); w.Body.String() != `{"reads":[{"ok":true,"path":"a","text":""}],"writes":[]}` {
			t.Error(w.Body)
		}
	})

	t.Run("text and free JSON are the client's own", func(t *testing.T) {
		t.Parallel()
		s := server{listMessages: func(api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
			return api.MessagePage{Items: []api.Message{{
				Role: "<ü> & 🚀", Content: json.RawMessage(`[{"type":"text","text":"</script>"}]`), Meta: json.RawMessage(`{"z":12345678901234567890,"a":1.0}`),
			}}}, nil
		}}
		w := do(s, "GET", "/sessions/s/messages", "")
		for _, want := range []string{`"<ü> & 🚀"`, `[{"type":"text","text":"</script>"}]`, `{"z":12345678901234567890,"a":1.0}`} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s is not in %s", want, w.Body)
			}
		}
	})

	t.Run("times are in UTC, with a fraction", func(t *testing.T) {
		t.Parallel()
		for at, want := range map[time.Time]string{
			time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)): "2026-01-02T02:04:05.000000Z",
			time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC):              "2026-01-02T03:04:05.000006Z",
		} {
			s := server{listAudit: func(api.ListAuditRequestObject) (api.ListAuditResponseObject, error) {
				return api.AuditPage{Items: []api.AuditRecord{{TS: api.Time(at)}}}, nil
			}}
			if w := do(s, "GET", "/audit", ""); !strings.Contains(w.Body.String(), `"ts":"`+want+`"`) {
				t.Errorf("%v: %s", at, w.Body)
			}
		}
	})
}
