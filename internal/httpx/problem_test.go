package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// failing makes a rig whose handlers return err.
func failing(t *testing.T, err error, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, change...)
	r.act = func(context.Context, http.ResponseWriter, *http.Request) error { return err }
	return r
}

func TestAnswer(t *testing.T) {
	t.Parallel()

	t.Run("every kind of fault has its status, and says whether to try again", func(t *testing.T) {
		t.Parallel()
		for kind, want := range map[fault.Kind]struct {
			status    int
			retryable bool
		}{
			fault.Invalid: {400, false}, fault.Unauthorized: {401, false}, fault.Forbidden: {403, false}, fault.NotFound: {404, false},
			fault.MethodNotAllowed: {405, false}, fault.Conflict: {409, false}, fault.Precondition: {412, false}, fault.TooLarge: {413, false},
			fault.RateLimited: {429, true}, fault.Unavailable: {503, true}, fault.NotImplemented: {501, false}, fault.Internal: {500, false},
		} {
			r := failing(t, fmt.Errorf("do it: %w", fault.New(kind, "some_code", "Some text.").With("field", "name")))
			e := r.do(t, "GET", "/api/v1/things", "").is(t, want.status, "some_code")
			if e.Retryable != want.retryable {
				t.Errorf("%d: retryable is %v", want.status, e.Retryable)
			}
			if kind == fault.Internal {
				if e.Message != errInternal.Text || e.Details != nil {
					t.Errorf("500 tells %q, %v", e.Message, e.Details)
				}
				continue
			}
			if e.Message != "Some text." || e.Details["field"] != "name" {
				t.Errorf("%d: %q, %v", want.status, e.Message, e.Details)
			}
		}
	})

	t.Run("the envelope has exactly its members", func(t *testing.T) {
		t.Parallel()
		for err, want := range map[error]string{
			fault.New(fault.Conflict, "conflict", "Try <again> & ä."):             `{"error":{"code":"conflict","message":"Try <again> & ä.","request_id":"r1","retryable":true}}`,
			fault.New(fault.Invalid, "invalid_request", "No.").With("field", "n"): `{"error":{"code":"invalid_request","message":"No.","request_id":"r1","retryable":false,"details":{"field":"n"}}}`,
		} {
			got := failing(t, err).do(t, "GET", "/api/v1/things", "", "X-Request-Id", "r1")
			if got.body != want {
				t.Errorf("got  %s\nwant %s", got.body, want)
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type is %q", ct)
			}
			if vary := got.header.Get("Vary"); vary != "Accept" {
				t.Errorf("Vary is %q", vary)
			}
		}
	})

	t.Run("a problem is for whoever ranks it above JSON", func(t *testing.T) {
		t.Parallel()
		r := failing(t, fault.New(fault.NotFound, "thing_not_found", "There is no such thing.").With("thing", "t1"))
		got := r.do(t, "GET", "/api/v1/things", "", "X-Request-Id", "r1", "Accept", "application/problem+json, application/json;q=0.9")
		want := `{"type":"about:blank","title":"Not Found","status":404,"detail":"There is no such thing.","code":"thing_not_found","request_id":"r1","retryable":false,"details":{"thing":"t1"}}`
		if got.status != 404 || got.body != want || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("got  %d %s %s\nwant %s", got.status, got.header.Get("Content-Type"), got.body, want)
		}
		for _, path := range []string{"/nothing", "/api/v1/nothing"} {
			if ct := r.do(t, "GET", path, "", "Accept", "application/problem+json").header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("%s: %s", path, ct)
			}
		}
	})

	t.Run("all four hooks of the generated code have the one shape", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1/things?limit=abc", "").is(t, 400, "invalid_request")
		r.validate = func(string, []byte) error { return nil }
		r.do(t, "POST", "/api/v1/things", `{"name":5}`).is(t, 400, "invalid_request")
		failing(t, fault.New(fault.Conflict, "email_taken", "Taken.")).do(t, "GET", "/api/v1/things", "").is(t, 409, "email_taken")
		failing(t, errors.New("json: unsupported type")).do(t, "GET", "/api/v1/things", "").is(t, 500, "internal_error")
	})

	t.Run("503 and 429 say when to come back, in whole seconds", func(t *testing.T) {
		t.Parallel()
		busy, limited := fault.New(fault.Unavailable, "unavailable", "Busy."), fault.New(fault.RateLimited, "rate_limited", "Slow down.")
		for err, want := range map[*fault.Error]string{
			busy: "1", busy.After(1500 * time.Millisecond): "2", busy.After(time.Millisecond): "1", limited: "1", limited.After(time.Minute): "60",
		} {
			if got := failing(t, err).do(t, "GET", "/api/v1/things", "").header.Get("Retry-After"); got != want {
				t.Errorf("%v: Retry-After is %q, want %q", err.RetryAfter, got, want)
			}
		}
	})

	t.Run("the cause of a 500 is in the log, once, and nowhere else", func(t *testing.T) {
		t.Parallel()
		r := failing(t, errors.New("dial /var/lib/secret.sock: refused"))
		got := r.do(t, "GET", "/api/v1/things", "", "X-Request-Id", "r1")
		got.is(t, 500, "internal_error")
		if strings.Contains(got.body, "secret") {
			t.Errorf("the client reads %s", got.body)
		}
		if n := strings.Count(r.log.String(), "secret.sock"); n != 1 {
			t.Errorf("the log tells it %d times:\n%s", n, r.log)
		}
		line := r.log.lines(t)[0]
		if line["request_id"] != "r1" || line["level"] != "ERROR" {
			t.Errorf("line %v", line)
		}
	})

	t.Run("details that JSON cannot say do not cost the answer", func(t *testing.T) {
		t.Parallel()
		r := failing(t, fault.New(fault.Conflict, "conflict", "No.").With("n", math.NaN()))
		if e := r.do(t, "GET", "/api/v1/things", "").is(t, 409, "conflict"); e.Details != nil {
			t.Errorf("details %v", e.Details)
		}
		r = failing(t, fault.New(fault.Conflict, "conflict", "No.").With("path", "a\xffb"))
		if e := r.do(t, "GET", "/api/v1/things", "").is(t, 409, "conflict"); e.Details["path"] != "a\ufffdb" {
			t.Errorf("details %q", e.Details)
		}
	})

	t.Run("the headers of the answer that did not come are not sent", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.act = func(ctx context.Context, _ http.ResponseWriter, _ *http.Request) error {
			Header(ctx).Set("ETag", `"7"`)
			Header(ctx).Set("Content-Disposition", "attachment")
			return fault.New(fault.Conflict, "conflict", "No.")
		}
		got := r.do(t, "GET", "/api/v1/things", "")
		got.is(t, 409, "conflict")
		if got.header.Get("ETag") != "" || got.header.Get("Content-Disposition") != "" {
			t.Errorf("headers %v", got.header)
		}
	})
}

func TestHeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		Header(ctx).Set("X-Commit-Position", "12/12")
		return reply(w, "{}")
	}
	if got := r.do(t, "POST", "/api/v1/things", `{"name":"a"}`).header.Get("X-Commit-Position"); got != "12/12" {
		t.Errorf("got %q", got)
	}
	Header(t.Context()).Set("X-Commit-Position", "1") // of no request: goes nowhere, harms nobody
}

func TestBrokenOffResponse(t *testing.T) {
	t.Parallel()

	begin := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"items":[`)
		_ = http.NewResponseController(w).Flush()
	}
	read := func(t *testing.T, r *rig, path string) (string, error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.listen(t)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer admin-token")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}

	t.Run("is cut, so that nobody takes it for the whole", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			begin(w)
			return errors.New("the disk is gone")
		}
		body, err := read(t, r, "/api/v1/things")
		if err == nil || body != `{"items":[` {
			t.Errorf("read %q, %v", body, err)
		}
		eventually(t, "the log line", func() bool { return strings.Contains(r.log.String(), "the disk is gone") })
	})

	t.Run("of a panic is cut too", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			begin(w)
			panic("oh no")
		}
		if body, err := read(t, r, "/api/v1/stream/t1"); err == nil || body != `{"items":[` {
			t.Errorf("read %q, %v", body, err)
		}
	})

	t.Run("of a stream just ends: no envelope follows its frames", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: 1\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			return errors.New("the log is away")
		}
		if body, err := read(t, r, "/api/v1/stream/t1"); err != nil || body != "id: 1\ndata: {}\n\n" {
			t.Errorf("read %q, %v", body, err)
		}
	})
}

func TestPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.act = func(context.Context, http.ResponseWriter, *http.Request) error { panic("oh no") }
	got := r.do(t, "GET", "/api/v1/things", "")
	if e := got.is(t, 500, "internal_error"); strings.Contains(e.Message, "oh no") {
		t.Errorf("the client reads %q", e.Message)
	}
	lines := r.log.lines(t)
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	stack, _ := lines[0]["stack"].(string)
	if lines[0]["error"] != "panic: oh no" || !strings.Contains(stack, "problem_test.go") {
		t.Errorf("line %v", lines[0])
	}
	if n := counted(t, r, "g4fagent_http_panics_total"); n != 1 {
		t.Errorf("%v panics were counted", n)
	}
	r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error { return reply(w, "{}") }
	r.do(t, "GET", "/api/v1/things", "").ok(t)
	if used := r.requests.used.Load(); used != 0 {
		t.Errorf("%d requests are still in flight", used)
	}
}

func TestFixedTexts(t *testing.T) {
	t.Parallel()
	got := map[string]int{}
	for _, err := range []*fault.Error{ErrUnauthorized, errForbidden, errNotFound, errMethodNotAllowed, errInternal, errBusy, errTooLarge, errMissingBody, errInvalidJSON, errInvalidRequest} {
		got[err.Code] = status(err.Kind)
	}
	want := map[string]int{
		"unauthorized": 401, "forbidden": 403, "not_found": 404, "method_not_allowed": 405, "internal_error": 500,
		"unavailable": 503, "payload_too_large": 413, "missing_body": 400, "invalid_json": 400, "invalid_request": 400,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
