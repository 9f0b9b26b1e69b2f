package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

func TestBodies(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct{ name, body, code string }{
		{"no body", "", "missing_body"},
		{"white space", " \r\n\t", "missing_body"},
		{"an empty object", "{}", "missing_body"},
		{"an empty object with white space", " { \n } ", "missing_body"},
		{"an open brace", "{", "invalid_json"},
		{"no JSON", "name=a", "invalid_json"},
		{"null", "null", "invalid_json"},
		{"an array", `[{"name":"a"}]`, "invalid_json"},
		{"text", `"name"`, "invalid_json"},
		{"a number", "5", "invalid_json"},
		{"trailing bytes", `{"name":"a"} trailing`, "invalid_json"},
		{"a name twice", `{"name":"a","name":"b"}`, "invalid_json"},
		{"a NUL", `{"name":"\u0000"}`, "invalid_json"},
		{"a lone surrogate", `{"name":"\ud83d"}`, "invalid_json"},
		{"a huge number", `{"name":"a","count":1e400000}`, "invalid_json"},
		{"deep nesting", `{"x":` + strings.Repeat("[", 700) + strings.Repeat("]", 700) + "}", "invalid_json"},
		{"another type", `{"name":5}`, "invalid_request"},
		{"null for text is as absent", `{"name":null}`, ""},
		{"another spelling is another name", `{"NAME":5}`, ""},
		{"unknown members", `{"name":"a","more":{"x":[1]}}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := newRig(t).do(t, "POST", "/api/v1/things", tc.body)
			if tc.code == "" {
				got.ok(t)
				return
			}
			got.is(t, http.StatusBadRequest, tc.code)
		})
	}

	t.Run("the content type is not asked for", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
			r.do(t, "POST", "/api/v1/things", `{"name":"a"}`, "Content-Type", ct).ok(t)
		}
	})

	t.Run("an optional body may be missing or empty, not wrong", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "POST", "/api/v1/things/t1/touch", "").ok(t)
		r.do(t, "POST", "/api/v1/things/t1/touch", " ").ok(t)
		r.do(t, "POST", "/api/v1/things/t1/touch", "{}").ok(t)
		r.do(t, "POST", "/api/v1/things/t1/touch", "{").is(t, 400, "invalid_json")
		r.do(t, "POST", "/api/v1/things/t1/touch", "[]").is(t, 400, "invalid_json")
	})

	t.Run("a body nobody asked for is read and ignored", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "DELETE", "/api/v1/things/t1", "not JSON").ok(t)
		r.do(t, "GET", "/api/v1/things", "{}").ok(t)
		r.do(t, "DELETE", "/api/v1/things/t1", strings.Repeat("x", maxIgnored+1)).is(t, 413, "payload_too_large")
	})

	t.Run("what the schema lets through is still held to its type", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.validate = func(string, []byte) error { return nil }
		e := r.do(t, "POST", "/api/v1/things", `{"name":"a","tags":["x",5]}`).is(t, 400, "invalid_request")
		if e.Details["field"] != "tags.1" {
			t.Errorf("details %v", e.Details)
		}
	})

	t.Run("a body may be as large as the document says, and no larger", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		fits := `{"name":"` + strings.Repeat("x", 64<<10-11) + `"}`
		r.do(t, "POST", "/api/v1/things", fits).ok(t)
		got := r.do(t, "POST", "/api/v1/things", fits+" ")
		if e := got.is(t, 413, "payload_too_large"); e.Details["max_bytes"] != float64(64<<10) {
			t.Errorf("details %v", e.Details)
		}
		if got.header.Get("Connection") != "close" {
			t.Error("the connection is kept for the rest of the body")
		}
	})

	t.Run("a validator's own error is ours, not the client's", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.validate = func(string, []byte) error { return errors.New("no such schema") }
		r.do(t, "POST", "/api/v1/things", `{"name":"a"}`).is(t, 500, "internal_error")
	})

	t.Run("the handler gets the bytes that were checked", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		var got string
		r.act = func(_ context.Context, w http.ResponseWriter, req *http.Request) error {
			raw, err := io.ReadAll(req.Body)
			got = string(raw)
			return errors.Join(err, reply(w, "{}"))
		}
		const body = ` {"name":"a","n":12345678901234567890} `
		r.do(t, "POST", "/api/v1/things", body).ok(t)
		if got != body {
			t.Errorf("got %q", got)
		}
	})

	t.Run("nothing is held when the request is over", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "POST", "/api/v1/things", `{"name":"a"}`).ok(t)
		r.do(t, "POST", "/api/v1/things", `{`).is(t, 400, "invalid_json")
		r.do(t, "POST", "/api/v1/things", strings.Repeat("x", 64<<10+1)).is(t, 413, "payload_too_large")
		if n := r.bodies.used.Load(); n != 0 {
			t.Errorf("%d bytes are held", n)
		}
	})

	t.Run("bodies together are bounded", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(o *Options) { o.Limits.BodyBytes = 100 })
		r.do(t, "POST", "/api/v1/things", `{"name":"a"}`).ok(t)
		r.do(t, "POST", "/api/v1/things", `{"name":"`+strings.Repeat("x", 100)+`"}`).is(t, 503, "unavailable")
	})
}

func TestRawBody(t *testing.T) {
	t.Parallel()
	received := func(t *testing.T, r *rig) *string {
		t.Helper()
		var got string
		r.act = func(_ context.Context, w http.ResponseWriter, req *http.Request) error {
			raw, err := io.ReadAll(req.Body)
			if err != nil {
				return err
			}
			got = string(raw)
			return reply(w, "{}")
		}
		return &got
	}

	t.Run("goes on as it is", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		got := received(t, r)
		for _, body := range []string{"", "abc", "{\x00\xff"} {
			r.do(t, "PUT", "/api/v1/uploads/u1", body, "Content-Type", "image/png").ok(t)
			if *got != body {
				t.Errorf("sent %q, got %q", body, *got)
			}
		}
	})

	t.Run("is bounded, its length known or not", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		received(t, r)
		body := strings.Repeat("x", 1<<20+1)
		r.do(t, "PUT", "/api/v1/uploads/u1", body).is(t, 413, "payload_too_large")
		r.do(t, "PUT", "/api/v1/uploads/u1", body[:1<<20]).ok(t)

		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.listen(t)+"/api/v1/uploads/u1", io.MultiReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer admin-token")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("chunked: %d", res.StatusCode)
		}
	})
}

func TestMissingResource(t *testing.T) {
	t.Parallel()

	t.Run("is the better answer to a wrong body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, body := range []string{"", "{}", "{", `{"name":5}`, strings.Repeat("x", 64<<10+1)} {
			r.do(t, "PATCH", "/api/v1/things/unknown", body).is(t, 404, "thing_not_found")
		}
		r.do(t, "PATCH", "/api/v1/things/t1", "{").is(t, 400, "invalid_json")
		r.validate = func(string, []byte) error { return nil }
		r.do(t, "PATCH", "/api/v1/things/unknown", `{"name":5}`).is(t, 404, "thing_not_found")
	})

	t.Run("is not looked for where the document has the body first", func(t *testing.T) {
		t.Parallel()
		newRig(t).do(t, "POST", "/api/v1/things/unknown/search", "{").is(t, 400, "invalid_json")
	})

	t.Run("is not looked for without a body error", func(t *testing.T) {
		t.Parallel()
		asked := 0
		r := newRig(t, func(o *Options) {
			o.Hooks.Exists = func(context.Context, api.Operation, map[string]string) error { asked++; return nil }
		})
		r.do(t, "PATCH", "/api/v1/things/t1", `{"name":"a"}`).ok(t)
		r.do(t, "GET", "/api/v1/things/t1?limit=abc", "").is(t, 400, "invalid_request")
		r.do(t, "PATCH", "/api/v1/things/t1", "{", "Authorization", "").is(t, 401, "unauthorized")
		r.do(t, "POST", "/api/v1/things", "{").is(t, 400, "invalid_json")
		if asked != 0 {
			t.Errorf("asked %d times", asked)
		}
	})

	t.Run("is asked for by operation and parameters; another failure changes nothing", func(t *testing.T) {
		t.Parallel()
		var got map[string]string
		var operation string
		r := newRig(t, func(o *Options) {
			o.Hooks.Exists = func(_ context.Context, o api.Operation, params map[string]string) error {
				operation, got = o.Name, params
				return fault.New(fault.Unavailable, "unavailable", "No database.")
			}
		})
		r.do(t, "PATCH", "/api/v1/things/t%201", "{").is(t, 400, "invalid_json")
		if diff := cmp.Diff(map[string]string{"thing_id": "t%201"}, got); diff != "" || operation != "ChangeThing" {
			t.Error(operation, diff)
		}
	})
}

func TestCodec(t *testing.T) {
	t.Parallel()
	var v struct {
		Name string          `json:"name"`
		Free json.RawMessage `json:"free"`
	}
	decode := func(text string) error { return codec{}.NewDecoder(strings.NewReader(text)).Decode(&v) }

	if err := decode(`{"NAME":"x","name":"a","free":{"n":12345678901234567890}}`); err != nil || v.Name != "a" || string(v.Free) != `{"n":12345678901234567890}` {
		t.Errorf("%+v, %v", v, err)
	}
	for text, want := range map[string]string{
		"":                        "missing_body",
		"  ":                      "missing_body",
		`{"name":"a"} trailing`:   "invalid_json",
		`{"name":"a","name":"b"}`: "invalid_json",
		`{"name":"\ud83d"}`:       "invalid_json",
		`{"name":5}`:              "invalid_request",
	} {
		known, ok := errors.AsType[*fault.Error](decodeFault(decode(text)))
		if !ok || known.Code != want {
			t.Errorf("%q: %v, want %s", text, known, want)
		}
	}

	var out strings.Builder
	if err := (codec{}).NewEncoder(&out).Encode(map[string]string{"a": "<&ä>"}); err != nil || out.String() != `{"a":"<&ä>"}` {
		t.Errorf("%s, %v", out.String(), err)
	}
}

func TestParameterFault(t *testing.T) {
	t.Parallel()
	o := operation{}
	for _, documented := range api.Operations() {
		if documented.Path == "/sessions/{session_id}/messages" && documented.Method == http.MethodGet {
			o.Operation = documented
		}
	}
	_, number := strconv.Atoi("abc")
	for _, tt := range []struct {
		err   error
		field any
		says  string
	}{
		{&api.ParameterError{Name: "limit", Err: number}, "limit", "The parameter limit must be an integer: How many items to answer, from 1 to 200."},
		{&api.ParameterError{Name: "after_ts", Err: new(api.Time).Bind("x")}, "after_ts", "must be a time as in RFC 3339 with an offset, such as 2006-01-02T15:04:05Z: Only"},
		{&api.ParameterError{Name: "limit", Err: api.ErrAbsent}, "limit", "The parameter limit is required: How"},
		{&api.ParameterError{Name: "cursor", Err: api.ErrUnstored}, "cursor", "The parameter cursor holds NUL or is not UTF-8: The"},
		{&api.ParameterError{Name: "else", Err: number}, "else", errInvalidRequest.Text},
		{errors.New("something else"), nil, errInvalidRequest.Text},
	} {
		known, ok := errors.AsType[*fault.Error](o.parameterFault(tt.err))
		if !ok || known.Code != "invalid_request" || known.Details["field"] != tt.field || !strings.Contains(known.Text, tt.says) || strings.Contains(known.Text, "strconv") {
			t.Errorf("%q: %v %v", tt.err, known, known.Details)
		}
	}
}

// BenchmarkRequest measures a request through everything but the network and a
// real handler.
func BenchmarkRequest(b *testing.B) {
	h, err := New(Options{
		Log: discard(), Metrics: prometheus.NewRegistry(), Statistics: NewStatistics(time.Now),
		Hooks: Hooks{Authenticate: func(context.Context, Credentials) (identity.Principal, error) { return rigTokens["admin-token"], nil }},
	}, server{saw: func(any) {}})
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string]string{
		"without a body": "", "1 KB": `{"refresh_token":"` + strings.Repeat("x", 1000) + `"}`, "16 KB": `{"refresh_token":"` + strings.Repeat("x", 16_000) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/api/v1/auth/logout", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				req.Header["Authorization"] = []string{"Bearer admin-token"}
				req.RemoteAddr = "192.0.2.1:1234"
				h.ServeHTTP(&nowhere{header: http.Header{}}, req)
			}
		})
	}
}
