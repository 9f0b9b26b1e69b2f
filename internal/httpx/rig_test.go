package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// rig is an edge with operations of its own: one of each sort. They are bound as
// generated code binds them, and act as the test says.
type rig struct {
	*edge
	log      *journal
	stats    *Statistics
	registry *prometheus.Registry

	act     func(ctx context.Context, w http.ResponseWriter, r *http.Request) error
	refused chan Refusal
}

var rigOperations = []api.Operation{
	{ID: "get_root", Name: "GetRoot", Method: "GET", GinPath: "/", Permission: identity.Public, Public: true},
	{ID: "post_login", Name: "Login", Method: "POST", GinPath: "/login", Permission: identity.Public, Public: true, Body: api.JSONBody, BodyRequired: true, MaxBytes: 64 << 10},
	{ID: "get_things", Name: "ListThings", Method: "GET", GinPath: "/things", Permission: identity.Read},
	{ID: "post_things", Name: "AddThing", Method: "POST", GinPath: "/things", Permission: identity.Write, Body: api.JSONBody, BodyRequired: true, MaxBytes: 64 << 10},
	{ID: "get_thing", Name: "GetThing", Method: "GET", GinPath: "/things/:thing_id", Permission: identity.Read},
	{ID: "patch_thing", Name: "ChangeThing", Method: "PATCH", GinPath: "/things/:thing_id", Permission: identity.Write, Body: api.JSONBody, BodyRequired: true, MaxBytes: 64 << 10},
	{ID: "delete_thing", Name: "DeleteThing", Method: "DELETE", GinPath: "/things/:thing_id", Permission: identity.Write},
	{ID: "post_search", Name: "SearchThing", Method: "POST", GinPath: "/things/:thing_id/search", Permission: identity.Read, Body: api.JSONBody, BodyRequired: true, BodyFirst: true, MaxBytes: 64 << 10},
	{ID: "post_touch", Name: "TouchThing", Method: "POST", GinPath: "/things/:thing_id/touch", Permission: identity.Write, Body: api.JSONBody, MaxBytes: 64 << 10},
	{ID: "put_upload", Name: "Upload", Method: "PUT", GinPath: "/uploads/:upload_id", Permission: identity.Write, Body: api.RawBody, MaxBytes: 1 << 20},
	{ID: "get_stream", Name: "StreamThing", Method: "GET", GinPath: "/stream/:thing_id", Permission: identity.Read, Stream: true},
}

// The tokens that the rig knows, and what their users may.
var rigTokens = map[string]identity.Principal{
	"admin-token":  {UserID: "user_admin", Kind: identity.User, CredentialID: "login-1", Roles: []string{"admin"}},
	"viewer-token": {UserID: "user_viewer", Kind: identity.User, CredentialID: "login-2", Roles: []string{"viewer"}},
}

const rigTicket = "ticket-for-stream-t1"

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{log: &journal{}, stats: NewStatistics(time.Now), registry: prometheus.NewPedanticRegistry(), refused: make(chan Refusal, 100)}
	r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error { return reply(w, `{"ok":true}`) }
	options := Options{
		Log: slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: r.registry, Statistics: r.stats,
		Beside: map[string]http.Handler{"/livez": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") })},
		Hooks: Hooks{
			Authenticate: func(_ context.Context, shown Credentials) (identity.Principal, error) {
				if shown.Ticket == rigTicket && shown.Path == "/stream/t1" {
					return rigTokens["viewer-token"], nil
				}
				if p, ok := rigTokens[shown.Bearer]; ok {
					return p, nil
				}
				return identity.Principal{}, ErrUnauthorized
			},
			Exists: func(_ context.Context, _ api.Operation, params map[string]string) error {
				if params["thing_id"] == "unknown" {
					return fault.New(fault.NotFound, "thing_not_found", "There is no such thing.")
				}
				return nil
			},
			Refused: func(_ context.Context, refusal Refusal) { r.refused <- refusal },
		},
	}
	for _, c := range change {
		c(&options)
	}
	e, err := newEdge(options)
	if err != nil {
		t.Fatal(err)
	}
	e.validate = func(_ string, body []byte) error {
		var members map[string]any
		_ = json.Unmarshal(body, &members)
		if name := members["name"]; name != nil && fmt.Sprintf("%T", name) != "string" {
			return fault.New(fault.Invalid, "invalid_request", "The name is not text.").With("field", "name")
		}
		return nil
	}
	r.edge = e
	if err := e.assemble(rigOperations, func(router gin.IRouter) { r.bind(t, router) }); err != nil {
		t.Fatal(err)
	}
	return r
}

// bind does what generated code does: parameters, body, handler, response.
func (r *rig) bind(t *testing.T, router gin.IRouter) {
	t.Helper()
	for _, o := range rigOperations {
		router.Handle(o.Method, r.base+o.GinPath, func(c *gin.Context) {
			if limit, ok := c.GetQuery("limit"); ok {
				if _, err := strconv.Atoi(limit); err != nil {
					r.onParameter(c, &api.ParameterError{Name: "limit", Err: err}, http.StatusBadRequest)
					return
				}
			}
			if o.Body == api.JSONBody {
				var body struct {
					Name  string   `json:"name"`
					Count int      `json:"count"`
					Tags  []string `json:"tags"`
				}
				if err := c.ShouldBindJSON(&body); err != nil && (o.BodyRequired || !errors.Is(err, io.EOF)) {
					r.onBody(c, err)
					return
				}
			}
			if err := r.act(c.Request.Context(), c.Writer, c.Request); err != nil {
				r.onError(c, err)
			}
		})
	}
}

// reply writes a JSON answer as generated code does.
func reply(w http.ResponseWriter, body string) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := io.WriteString(w, body)
	return err
}

// listen serves the rig on a real connection.
func (r *rig) listen(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return server.URL
}

// do sends one request to the handler itself, as admin unless header says
// otherwise.
func (r *rig) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, path, reader)
	req.Header.Set("Authorization", "Bearer admin-token")
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Add(header[i], header[i+1])
		if header[i] == "Authorization" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// refusal is the error envelope of an answer.
func (a answer) refusal(t *testing.T) envelopeError {
	t.Helper()
	var e envelope
	decoder := json.NewDecoder(strings.NewReader(a.body))
	if err := decoder.Decode(&e); err != nil {
		t.Fatalf("%d %q is no envelope: %v", a.status, a.body, err)
	}
	if decoder.More() {
		t.Fatalf("something follows the envelope: %q", a.body)
	}
	if e.Error.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("request ids %q and %q", e.Error.RequestID, a.header.Get("X-Request-Id"))
	}
	return e.Error
}

// is fails the test unless the answer is an envelope with this status and code.
func (a answer) is(t *testing.T, status int, code string) envelopeError {
	t.Helper()
	e := a.refusal(t)
	if a.status != status || e.Code != code {
		t.Fatalf("got %d %s, want %d %s", a.status, e.Code, status, code)
	}
	return e
}

// ok fails the test unless the answer is a 200.
func (a answer) ok(t *testing.T) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.body)
	}
}

// journal keeps what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lines are the lines logged so far.
func (j *journal) lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for text := range strings.Lines(j.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, line)
	}
	return all
}

// within waits for a signal, or fails the test after 5 s.
func within[T any](t *testing.T, what string, signal <-chan T) T {
	t.Helper()
	select {
	case v := <-signal:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited 5 s for %s", what)
		panic("unreachable")
	}
}

// eventually waits until a condition holds, or fails the test after 5 s.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	for deadline := time.After(20 * time.Second); !holds(); {
		select {
		case <-ticks.C:
		case <-deadline:
			t.Fatalf("waited 5 s for %s", what)
		}
	}
}

// counted is the sum of a metric over the label values given as name, value, ….
func counted(t *testing.T, r *rig, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			matching := 0
			for _, pair := range m.GetLabel() {
				for i := 0; i < len(labels); i += 2 {
					if pair.GetName() == labels[i] && pair.GetValue() == labels[i+1] {
						matching++
					}
				}
			}
			if 2*matching == len(labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// nowhere is a response writer that keeps nothing.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(int)             {}
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
