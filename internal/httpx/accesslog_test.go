package httpx

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/logline"
)

func TestAccessLog(t *testing.T) {
	t.Parallel()

	t.Run("has one line a request, with what the command added", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
			logline.Add(ctx, slog.String("stream", "thing-t1"), slog.Int("revision", 7))
			return reply(w, `{"ok":true}`)
		}
		r.do(t, "DELETE", "/api/v1/things/t1", "", "X-Request-Id", "r1", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").ok(t)
		want := map[string]any{
			"level": "INFO", "msg": "request", "request_id": "r1", "operation": "delete_thing", "method": "DELETE", "path": "/api/v1/things/t1", "status": 200.0,
			"bytes": 11.0, "ip": "192.0.2.1", "actor": "user_admin", "credential": "login-1", "trace_id": "0af7651916cd43dd8448eb211c80319c",
			"stream": "thing-t1", "revision": 7.0,
		}
		lines := r.log.lines(t)
		if len(lines) != 1 {
			t.Fatalf("%d lines", len(lines))
		}
		if diff := cmp.Diff(want, lines[0], cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "time" || k == "duration_ms" })); diff != "" {
			t.Error(diff)
		}
		if _, ok := lines[0]["duration_ms"].(float64); !ok {
			t.Errorf("duration %v", lines[0]["duration_ms"])
		}
	})

	t.Run("has no tickets, tokens, queries or bodies", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1/stream/t1?ticket="+rigTicket, "", "Authorization", "").ok(t)
		r.do(t, "GET", "/api/v1/stream/t2?ticket="+rigTicket, "", "Authorization", "").is(t, 401, "unauthorized")
		r.do(t, "GET", "/nothing?ticket="+rigTicket, "")
		r.do(t, "GET", "/api/v1/things?limit=secretlimit", "").is(t, 400, "invalid_request")
		r.do(t, "POST", "/api/v1/login", `{"password":"secretbody"`).is(t, 400, "invalid_json")
		r.do(t, "POST", "/api/v1/things", `{"name":"secretbody"}`, "Idempotency-Key", "secretkey").ok(t)
		for _, secret := range []string{rigTicket, "ticket=", "admin-token", "secretlimit", "secretbody", "secretkey"} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("%s is in the log:\n%s", secret, r.log)
			}
		}
		if n := len(r.log.lines(t)); n != 6 {
			t.Errorf("%d lines", n)
		}
	})

	t.Run("is not filled by probes, nor by long paths", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/livez", "")
		r.do(t, "OPTIONS", "/api/v1/things", "")
		r.do(t, "GET", "/"+strings.Repeat("x", 10_000), "")
		lines := r.log.lines(t)
		if lines[0]["level"] != "DEBUG" || lines[1]["level"] != "DEBUG" || lines[2]["level"] != "INFO" {
			t.Errorf("levels %v, %v, %v", lines[0]["level"], lines[1]["level"], lines[2]["level"])
		}
		if path, _ := lines[2]["path"].(string); len(path) != maxLoggedPath {
			t.Errorf("a path of %d bytes", len(path))
		}
	})
}

func TestRequestContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var got identity.Request
	var who identity.Principal
	r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		got, who = identity.RequestOf(ctx), identity.PrincipalOf(ctx)
		return reply(w, "{}")
	}
	res := r.do(t, "POST", "/api/v1/things", `{"name":"a"}`, "X-Request-Id", "r1", "Idempotency-Key", "k1", "X-Forwarded-For", "6.6.6.6")
	res.ok(t)
	if res.header.Get("X-Request-Id") != "r1" {
		t.Errorf("X-Request-Id is %q", res.header.Get("X-Request-Id"))
	}
	want := identity.Request{ID: "r1", IP: "192.0.2.1", OperationID: "post_things", Path: "/things", IdempotencyKey: "k1", Input: []byte(`{"name":"a"}`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if who.UserID != "user_admin" {
		t.Errorf("acts as %+v", who)
	}

	r.do(t, "POST", "/api/v1/things", `{"name":"a"}`).ok(t)
	if got.Input != nil {
		t.Error("a body is kept that no key asks for")
	}
	r.do(t, "GET", "/api/v1/things", "", "Idempotency-Key", "not a key").ok(t)
	if got.IdempotencyKey != "" {
		t.Errorf("a read has the key %q", got.IdempotencyKey)
	}
	if e := r.do(t, "POST", "/api/v1/things", `{"name":"a"}`, "Idempotency-Key", "not a key").is(t, 400, "invalid_request"); e.Details["field"] != "Idempotency-Key" {
		t.Errorf("details %v", e.Details)
	}
}

// TestContextIsNotShared holds a handler's context against the trap of pooled
// contexts: what a goroutine of one request reads later is still that request's.
func TestContextIsNotShared(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	kept := make(chan context.Context, 1)
	r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		select {
		case kept <- ctx:
		default:
		}
		return reply(w, "{}")
	}
	r.do(t, "GET", "/api/v1/things", "", "X-Request-Id", "alice").ok(t)
	ctx := <-kept
	kept <- ctx // so that the next requests keep theirs to themselves
	for range 100 {
		r.do(t, "GET", "/api/v1/things", "", "X-Request-Id", "bob", "Authorization", "Bearer viewer-token").ok(t)
	}
	if id, who := identity.RequestOf(ctx).ID, identity.PrincipalOf(ctx).UserID; id != "alice" || who != "user_admin" {
		t.Errorf("alice's request reads %s by %s", id, who)
	}
	if ctx.Err() == nil {
		t.Error("alice's context outlives her request")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(t, "GET", "/api/v1/things", "").ok(t)
	r.do(t, "GET", "/api/v1/things", "", "Authorization", "")
	r.do(t, "GET", "/api/v1/stream/t1", "").ok(t)
	for _, path := range []string{"/api/v1/x1", "/x2", "/x3"} {
		r.do(t, "GET", path, "")
	}
	r.do(t, "GET", "/livez", "")
	for _, tc := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{1, "g4fagent_http_requests_total", []string{"operation", "get_things", "status", "200"}},
		{1, "g4fagent_http_requests_total", []string{"operation", "get_things", "status", "401"}},
		{1, "g4fagent_http_requests_total", []string{"operation", "get_stream", "status", "200"}},
		{3, "g4fagent_http_requests_total", []string{"operation", "none", "status", "404"}},
		{1, "g4fagent_http_requests_total", []string{"operation", "/livez"}},
		{2, "g4fagent_http_request_duration_seconds", []string{"operation", "get_things"}},
		{0, "g4fagent_http_request_duration_seconds", []string{"operation", "get_stream"}},
	} {
		if got := counted(t, r, tc.name, tc.labels...); got != tc.want {
			t.Errorf("%s%v is %v, want %v", tc.name, tc.labels, got, tc.want)
		}
	}
	if rps, _ := r.stats.Stats(time.Hour); rps*3600 < 4.99 || rps*3600 > 5.01 {
		t.Errorf("the statistics have %v requests, want 5: neither streams nor probes", rps*3600)
	}
}
