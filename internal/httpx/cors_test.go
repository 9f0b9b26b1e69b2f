package httpx

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestCORS(t *testing.T) {
	t.Parallel()

	t.Run("OPTIONS is 204 anywhere", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, path := range []string{"/api/v1/things", "/api/v1/nothing", "/nothing", "/livez", "/"} {
			got := r.do(t, "OPTIONS", path, "", "Authorization", "", "Origin", "https://app.example")
			if got.status != http.StatusNoContent || got.body != "" {
				t.Errorf("%s: %d %q", path, got.status, got.body)
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": corsMethods, "Access-Control-Allow-Headers": corsHeaders,
				"Access-Control-Allow-Credentials": "",
			} {
				if got.header.Get(name) != want {
					t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), want)
				}
			}
		}
		for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "X-Request-Id", "X-Min-Position"} {
			if !slices.Contains(strings.Split(corsHeaders, ", "), name) {
				t.Errorf("%s is not allowed", name)
			}
		}
	})

	t.Run("every answer may be read by any page, unless origins are named", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, path := range []string{"/api/v1/things", "/api/v1/nothing", "/nothing", "/livez"} {
			got := r.do(t, "GET", path, "")
			if got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Expose-Headers") != corsExposes {
				t.Errorf("%s: %v", path, got.header)
			}
		}
		for _, name := range []string{"X-Commit-Position", "ETag", "X-Request-Id", "X-Read-Model", "Idempotency-Replayed"} {
			if !slices.Contains(strings.Split(corsExposes, ", "), name) {
				t.Errorf("%s is not exposed", name)
			}
		}
	})

	t.Run("named origins are echoed, others get nothing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(o *Options) { o.Origins = []string{"https://app.example"} })
		for origin, want := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": "", "null": "", "": ""} {
			for _, method := range []string{"GET", "OPTIONS"} {
				got := r.do(t, method, "/api/v1/things", "", "Origin", origin)
				if allowed := got.header.Get("Access-Control-Allow-Origin"); allowed != want {
					t.Errorf("%s from %q: allowed %q, want %q", method, origin, allowed, want)
				}
				if !slices.Contains(got.header.Values("Vary"), "Origin") {
					t.Errorf("%s from %q does not vary by origin", method, origin)
				}
			}
		}
	})

	t.Run("an empty list of origins allows none", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(o *Options) { o.Origins = []string{} })
		if got := r.do(t, "GET", "/api/v1/things", "", "Origin", "https://app.example"); got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("allowed: %v", got.header)
		}
	})
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": "",
	}
	for _, path := range []string{"/api/v1/things", "/api/v1/nothing", "/nothing"} {
		got := r.do(t, "GET", path, "")
		for name, value := range want {
			if got.header.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), value)
			}
		}
	}

	r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Cache-Control", "no-cache")
		return reply(w, "{}")
	}
	if got := r.do(t, "GET", "/api/v1/things", "").header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("a handler's own Cache-Control became %q", got)
	}
}
