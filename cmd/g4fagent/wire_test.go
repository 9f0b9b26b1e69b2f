package main_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWire(t *testing.T) {
	t.Parallel()
	root := admin(t)
	project := root.project()

	t.Run("errors are problems for whoever ranks them above JSON", func(t *testing.T) {
		t.Parallel()
		a := root.on(t).send("GET", "/projects/proj_0", "", "Accept", "application/problem+json, application/json;q=0.9")
		var p struct{ Type, Title, Detail, Code string }
		if err := json.Unmarshal(a.body, &p); err != nil || p.Code != "project_not_found" || p.Title == "" || p.Detail == "" || p.Type == "" {
			t.Errorf("%s: %v", a.body, err)
		}
		if a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.header.Get("Vary"), "Accept") {
			t.Errorf("the header is %v", a.header)
		}
		root.on(t).send("GET", "/projects/proj_0", "", "Accept", "application/problem+json, application/json").want(t, 404, "project_not_found")
	})

	t.Run("a request keeps its id, in the answer and in the audit", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		id := "my-own.id/" + c.address
		made := decode[struct{ Project struct{ ID string } }](t, c.send("POST", "/projects", `{"name":"Named"}`, "X-Request-Id", id).want(t, 200, ""))
		items := all[audited](c, "/audit?project_id="+made.Project.ID)
		if len(items) != 1 || items[0].RequestID != id || items[0].IP != c.address || items[0].ActorUserID != "user_admin" {
			t.Errorf("the audit has %+v", items)
		}
		for _, bad := range []string{"two words", strings.Repeat("x", 129)} {
			a := c.send("GET", "/health", "", "X-Request-Id", bad)
			if got := a.header.Get("X-Request-Id"); got == bad || !strings.HasPrefix(got, "req_") {
				t.Errorf("%q became %q", bad, got)
			}
		}
	})

	t.Run("browsers of any origin may use it", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/projects", "/nothing", "/projects/" + project} {
			a := visitor(t).send("OPTIONS", path, "", "Origin", "https://app.example", "Access-Control-Request-Method", "PATCH")
			if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PATCH") {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
			for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "X-Min-Position"} {
				if !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), name) {
					t.Errorf("%s is not allowed", name)
				}
			}
		}
		a := root.on(t).send("GET", "/projects", "", "Origin", "https://app.example")
		for _, name := range []string{"X-Commit-Position", "ETag", "X-Request-Id", "X-Read-Model", "Idempotency-Replayed"} {
			if !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), name) {
				t.Errorf("%s is not exposed", name)
			}
		}
		visitor(t).send("GET", "/me", "", "Origin", "https://app.example").want(t, 401, "unauthorized")
	})

	t.Run("HEAD is GET without the body", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		head, get := c.send("HEAD", "/projects/"+project, ""), c.send("GET", "/projects/"+project, "")
		if head.status != 200 || len(head.body) != 0 || head.header.Get("ETag") != get.header.Get("ETag") || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD: %d %v %s, GET: %v", head.status, head.header, head.body, get.header)
		}
		if a := c.send("HEAD", "/projects/proj_0", ""); a.status != 404 || len(a.body) != 0 {
			t.Errorf("HEAD of nothing: %d %s", a.status, a.body)
		}
	})

	t.Run("only the very path is a path", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		for _, path := range []string{"/projects/", "/me/", "/projects/" + project + "/", "//projects", "/PROJECTS", "/nothing"} {
			c.send("GET", path, "").want(t, 404, "not_found")
		}
		c.send("GET", "/projects/"+strings.Replace(project, "_", "%5F", 1), "").want(t, 404, "project_not_found")
		c.send("GET", "/projects/..%2f..%2fetc", "").want(t, 404, "project_not_found")
		c.send("GET", "", "").want(t, 200, "") // the bare base path is its root
	})

	t.Run("a path outside of the base path is named", func(t *testing.T) {
		t.Parallel()
		a := visitor(t).outside("/somewhere/else")
		var e struct {
			Error struct{ Details struct{ Path string } }
		}
		if err := json.Unmarshal(a.body, &e); err != nil || a.status != 404 || a.code() != "not_found" || e.Error.Details.Path != "/somewhere/else" {
			t.Errorf("%d %s: %v", a.status, a.body, err)
		}
	})

	t.Run("a wrong method is told the right ones, before anybody asks who it is", func(t *testing.T) {
		t.Parallel()
		for path, methods := range map[string]string{
			"/projects":            "GET, HEAD, OPTIONS, POST",
			"/projects/" + project: "DELETE, GET, HEAD, OPTIONS, PATCH",
			"/auth/login":          "OPTIONS, POST",
		} {
			for _, method := range []string{"PUT", "TRACE", "BREW"} {
				a := visitor(t).send(method, path, "").want(t, 405, "method_not_allowed")
				if a.header.Get("Allow") != methods {
					t.Errorf("%s %s allows %q", method, path, a.header.Get("Allow"))
				}
			}
		}
		visitor(t).send("DELETE", "/nothing", "").want(t, 404, "not_found")
	})

	t.Run("parameters that nobody knows are ignored, and numbers out of range are clamped", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		c.send("GET", "/projects/"+project+"?default=1&foo=bar", "").want(t, 200, "")
		for range 3 {
			c.project()
		}
		for query, n := range map[string]int{"limit=0": 1, "limit=-5": 1, "limit=2": 2, "limit=100000": 3} {
			page := decode[struct{ Items []any }](t, c.send("GET", "/projects?foo=bar&"+query, "").want(t, 200, ""))
			if len(page.Items) != n && (n < 3 || len(page.Items) < 3 || len(page.Items) > 200) {
				t.Errorf("%s: %d items", query, len(page.Items))
			}
		}
	})

	t.Run("a body may come in chunks, and of any type", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		r, err := http.NewRequestWithContext(t.Context(), "POST", c.server.url+"/projects", io.MultiReader(strings.NewReader(`{"na`), strings.NewReader(`me":"Chunked"}`)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/plain")
		res, err := c.ask(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != 200 {
			t.Errorf("answered %d", res.StatusCode)
		}
	})

	t.Run("a request after a refused one on the same connection is another request", func(t *testing.T) {
		t.Parallel()
		pipelined(t, root.on(t))
	})
}

// outside asks beside the API's base path.
func (c *client) outside(path string) answer {
	t := c.server.t
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", strings.TrimSuffix(c.server.url, "/api/v1")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.ask(r)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, raw}
}

// pipelined sends a chunked body that is refused and a second request behind it:
// the body must never be taken for a request.
func pipelined(t *testing.T, c *client) {
	t.Helper()
	u, err := url.Parse(c.server.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	smuggled := "GET /api/v1/me HTTP/1.1\r\nHost: h\r\n\r\n"
	requests := fmt.Sprintf("POST /api/v1/projects HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)
	requests += "GET /api/v1/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, requests); err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for reader := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			break
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, res.StatusCode)
	}
	if !slices.Equal(statuses, []int{401, 200}) {
		t.Errorf("answered %v", statuses)
	}
}

// What the log, or any read model, could not keep is refused before anything is
// appended.
func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	root := admin(t)
	project := root.project()
	session := root.session(project)
	before := root.send("GET", "/sessions/"+session, "").header.Get("ETag")
	for name, value := range map[string]string{
		"NUL":             `"a\u0000b"`,
		"lone surrogate":  `"\ud83d"`,
		"reversed pair":   `"\ude00\ud83d"`,
		"duplicate name":  `{"a":1,"a":2}`,
		"huge number":     `1e400`,
		"deep nesting":    strings.Repeat("[", 100) + strings.Repeat("]", 100),
		"not UTF-8":       "\"\xff\xfe\"",
		"not JSON's null": `NaN`,
		"a NUL name":      `{"\u0000":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := root.on(t)
			for _, ask := range [][3]string{
				{"POST", "/projects", `{"name":"No","repo":{"x":` + value + `}}`},
				{"PATCH", "/projects/" + project, `{"repo":{"x":` + value + `}}`},
				{"POST", "/sessions/" + session + "/messages", `{"role":"user","content":[{"x":` + value + `}]}`},
				{"PATCH", "/sessions/" + session, `{"memory":{"x":` + value + `}}`},
			} {
				if a := c.send(ask[0], ask[1], ask[2]); a.status != 400 || a.code() != "invalid_json" && a.code() != "invalid_request" {
					t.Errorf("%s %s: %d %s", ask[0], ask[1], a.status, a.body)
				}
			}
		})
	}
	t.Cleanup(func() {
		c := root.on(t)
		after := decode[struct{ Items []any }](t, c.sendLate("/sessions/"+session+"/messages"))
		if len(after.Items) != 0 {
			t.Errorf("%d messages were appended", len(after.Items))
		}
		if etag := c.sendLate("/sessions/" + session).header.Get("ETag"); etag != before {
			t.Errorf("the session is %s, was %s", etag, before)
		}
	})
}

// sendLate asks when the test's own context has ended.
func (c *client) sendLate(path string) answer {
	c.server.t.Helper()
	return c.must("GET", path, "", nil, nil)
}

// Free JSON comes back as it was sent, to the digit.
func TestFreeJSONIsKept(t *testing.T) {
	t.Parallel()
	c := admin(t)
	const repo = `{"z":12345678901234567890,"a":1.10,"e":1E2,"n":null,"deep":{"é":"😀"},"0":-0}`
	made := decode[struct{ Project struct{ ID string } }](t, c.send("POST", "/projects", `{"name":"Digits","repo":`+repo+`}`).want(t, 200, ""))
	got := decode[struct {
		Project struct{ Repo json.RawMessage }
	}](t, c.send("GET", "/projects/"+made.Project.ID, "").want(t, 200, ""))
	if string(got.Project.Repo) != repo {
		t.Errorf("got %s\nsent %s", got.Project.Repo, repo)
	}
}

func TestBesideTheAPI(t *testing.T) {
	t.Parallel()
	c := visitor(t)
	c.server.t = t
	for path, want := range map[string]struct{ contentType, text string }{
		"/livez":        {"application/json", `{"ok":true}`},
		"/readyz":       {"application/json", `{"ok":true}`},
		"/metrics":      {"text/plain", "g4fagent_"},
		"/openapi.json": {"application/json", `"openapi"`},
		"/openapi.yaml": {"yaml", "openapi: 3.1.0"},
		"/docs":         {"text/html", "<html"},
	} {
		a := c.outside(path)
		if a.status != 200 || !strings.Contains(a.header.Get("Content-Type"), want.contentType) || !strings.Contains(string(a.body), want.text) {
			t.Errorf("%s: %d %s %.200s", path, a.status, a.header.Get("Content-Type"), a.body)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", path)
		}
	}
	health := decode[struct {
		OK     bool
		Checks map[string]struct{ OK bool }
	}](t, c.send("GET", "/health", "").want(t, 200, ""))
	if !health.OK || len(health.Checks) < 5 {
		t.Errorf("health is %+v", health)
	}
}
