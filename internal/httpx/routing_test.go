package httpx

import (
	"context"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/g4fagent/g4fagent/internal/identity"
)

func TestRouting(t *testing.T) {
	t.Parallel()

	t.Run("the bare base path is its root", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1", "").ok(t)
		r.do(t, "GET", "/api/v1/", "").ok(t)
	})

	t.Run("the base path may be the root", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(o *Options) { o.BasePath = "/" })
		r.do(t, "GET", "/", "").ok(t)
		r.do(t, "GET", "/things", "").ok(t)
		r.do(t, "GET", "/livez", "").ok(t)
		r.do(t, "GET", "/api/v1/things", "").is(t, http.StatusNotFound, "not_found")
	})

	t.Run("nothing is there, and nobody is sent elsewhere", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, path := range []string{
			"/api/v1/nothing", "/api/v1/things/", "/api/v1//things", "/api/v1/things/t1/", "/api/v1/./things",
			"/api/v1/nothing/../things", "/api/v1/THINGS", "/api/v1/things/a%2Fb/c", "/api/v1/%74hings",
		} {
			if e := r.do(t, "GET", path, "").is(t, http.StatusNotFound, "not_found"); e.Details != nil {
				t.Errorf("%s: details %v", path, e.Details)
			}
		}
	})

	t.Run("outside of the base path the answer names the path", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, path := range []string{"/", "/api", "/api/v10", "/favicon.ico", "/livez/", "/api/v1%2Fthings"} {
			if e := r.do(t, "GET", path, "").is(t, http.StatusNotFound, "not_found"); e.Details["path"] != path {
				t.Errorf("%s: details %v", path, e.Details)
			}
		}
	})

	t.Run("a path that exists comes before who asks, and who asks before the rest", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1/nothing", "", "Authorization", "").is(t, http.StatusNotFound, "not_found")
		r.do(t, "PUT", "/api/v1/things", "", "Authorization", "").is(t, http.StatusMethodNotAllowed, "method_not_allowed")
		r.do(t, "GET", "/api/v1/things?limit=abc", "", "Authorization", "").is(t, http.StatusUnauthorized, "unauthorized")
		r.do(t, "POST", "/api/v1/things", "{", "Authorization", "").is(t, http.StatusUnauthorized, "unauthorized")
	})

	t.Run("another method is refused with those that are taken", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, tc := range []struct{ method, path, allow string }{
			{"PUT", "/api/v1/things", "GET, HEAD, OPTIONS, POST"},
			{"TRACE", "/api/v1/things/t1", "DELETE, GET, HEAD, OPTIONS, PATCH"},
			{"BREW", "/api/v1/things/t1", "DELETE, GET, HEAD, OPTIONS, PATCH"},
			{"HEAD", "/api/v1/login", "OPTIONS, POST"},
			{"POST", "/livez", "GET, HEAD, OPTIONS"},
		} {
			got := r.do(t, tc.method, tc.path, "")
			got.is(t, http.StatusMethodNotAllowed, "method_not_allowed")
			if allow := got.header.Get("Allow"); allow != tc.allow {
				t.Errorf("%s %s: Allow is %q, want %q", tc.method, tc.path, allow, tc.allow)
			}
		}
	})

	t.Run("a path parameter is what the client wrote", func(t *testing.T) {
		t.Parallel()
		for path, want := range map[string]string{
			"/api/v1/things/proj%5Fx": "/things/proj%5Fx",
			"/api/v1/things/a%20b":    "/things/a%20b",
			"/api/v1/things/a%2Fb":    "/things/a%2Fb",
			"/api/v1/things/proj_x":   "/things/proj_x",
		} {
			r := newRig(t)
			var got string
			r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
				got = identity.RequestOf(ctx).Path
				return reply(w, "{}")
			}
			r.do(t, "GET", path, "").ok(t)
			if got != want {
				t.Errorf("%s: path is %q, want %q", path, got, want)
			}
		}
	})

	t.Run("HEAD is GET without a body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		url := r.listen(t)
		for path, want := range map[string]int{"/api/v1": 200, "/api/v1/": 200, "/livez": 200, "/api/v1/nothing": 404, "/api/v1/things": 401, "/api/v1/login": 405} {
			res, err := http.Head(url + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != want || res.ContentLength <= 0 {
				t.Errorf("HEAD %s: %d with a length of %d, want %d", path, res.StatusCode, res.ContentLength, want)
			}
		}
		got := r.do(t, "HEAD", "/api/v1/stream/t1", "")
		if allow := got.header.Get("Allow"); got.status != http.StatusMethodNotAllowed || allow != "GET, OPTIONS" {
			t.Errorf("HEAD of a stream: %d, Allow %q", got.status, allow)
		}
	})

	t.Run("unknown query parameters are ignored", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1/things?default=1&x=%zz;y", "").ok(t)
	})

	t.Run("a parameter of the wrong type names itself", func(t *testing.T) {
		t.Parallel()
		e := newRig(t).do(t, "GET", "/api/v1/things?limit=abc", "").is(t, http.StatusBadRequest, "invalid_request")
		if e.Details["field"] != "limit" {
			t.Errorf("details %v", e.Details)
		}
	})

	t.Run("what stands beside the operations asks nobody who they are", func(t *testing.T) {
		t.Parallel()
		if got := newRig(t).do(t, "GET", "/livez", "", "Authorization", ""); got.body != "alive" {
			t.Errorf("got %d %q", got.status, got.body)
		}
	})
}

func TestNew(t *testing.T) {
	t.Parallel()
	authenticate := func(context.Context, Credentials) (identity.Principal, error) { return identity.Principal{}, nil }

	t.Run("wants somebody who authenticates", func(t *testing.T) {
		t.Parallel()
		if _, err := newEdge(Options{}); err == nil {
			t.Error("an open API was made")
		}
	})
	t.Run("wants a plain base path", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"api", "/api/", "//", "/a%20b", "/:id", "/a?b"} {
			if _, err := newEdge(Options{BasePath: path, Hooks: Hooks{Authenticate: authenticate}}); err == nil {
				t.Errorf("%q was taken", path)
			}
		}
	})
	t.Run("wants a route for each operation and an operation for each route", func(t *testing.T) {
		t.Parallel()
		for name, register := range map[string]func(gin.IRouter){
			"no route":      func(gin.IRouter) {},
			"another route": func(g gin.IRouter) { g.GET("/api/v1/other", func(*gin.Context) {}) },
		} {
			e, err := newEdge(Options{Hooks: Hooks{Authenticate: authenticate}})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.assemble(rigOperations[:1], register); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
	})
}
