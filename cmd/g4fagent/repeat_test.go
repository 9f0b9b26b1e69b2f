package main_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A command with a key happens once, for its caller, operation and path.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	root := admin(t)
	project := root.project()
	session := root.session(project)
	for name, test := range map[string]struct {
		path  string
		body  string
		other string
	}{
		"projects": {"/projects", `{"name":"Once"}`, `{"name":"Twice"}`},
		"sessions": {"/projects/" + project + "/sessions", `{"title":"Once","provider_id":"custom","model_id":"m"}`, `{"title":"Twice","provider_id":"custom","model_id":"m"}`},
		"messages": {"/sessions/" + session + "/messages", `{"role":"user","content":[]}`, `{"role":"user","content":[{}]}`},
		"users":    {"/admin/users", `{"name":"Once","email":"once@example.org","roles":[],"password":"once-and-for-all-time"}`, `{"name":"Twice","email":"once@example.org","roles":[]}`},
		"runs":     {"/sessions/" + session + "/runs", `{"mode":"chat","agent":{},"input":{"message_id":"` + root.message(session) + `"}}`, `{"mode":"chat","agent":{"x":1},"input":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := root.on(t)
			key := "key/" + c.address
			first := c.send("POST", test.path, test.body, "Idempotency-Key", key).want(t, 200, "")
			again := c.send("POST", test.path, test.body, "Idempotency-Key", key).want(t, 200, "")
			if !bytes.Equal(first.body, again.body) {
				t.Errorf("answered %s, then %s", first.body, again.body)
			}
			if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("replayed is %q, then %q", first.header.Get("Idempotency-Replayed"), again.header.Get("Idempotency-Replayed"))
			}
			c.send("POST", test.path, test.other, "Idempotency-Key", key).want(t, 409, "idempotency_key_reused")
			if name == "users" {
				return // which an address makes single anyway
			}
			other := c.send("POST", test.path, test.body, "Idempotency-Key", key+"2").want(t, 200, "")
			if bytes.Equal(first.body, other.body) {
				t.Error("two keys did one thing")
			}
			p := c.person("admin") // whose keys are its own
			mine := p.send("POST", test.path, test.body, "Idempotency-Key", key).want(t, 200, "")
			if bytes.Equal(first.body, mine.body) || mine.header.Get("Idempotency-Replayed") != "" {
				t.Error("one user's key met another's")
			}
		})
	}

	t.Run("many at once do it once", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		bodies := make([]string, 8)
		var wg sync.WaitGroup
		for i := range bodies {
			wg.Go(func() {
				a := c.send("POST", "/projects", `{"name":"Race"}`, "Idempotency-Key", "race")
				if a.status != http.StatusOK && a.code() != "conflict" && a.code() != "in_progress" {
					t.Errorf("%d %s", a.status, a.body)
				}
				bodies[i] = string(a.body)
			})
		}
		wg.Wait()
		for _, b := range bodies {
			if b != bodies[0] && strings.Contains(b, `"project"`) && strings.Contains(bodies[0], `"project"`) {
				t.Errorf("%s and %s", bodies[0], b)
			}
		}
	})

	t.Run("a refusal is decided again", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		path := "/sessions/" + c.session(c.project()) + "/runs"
		body := `{"mode":"chat","agent":{},"input":{"message_id":"msg_0"}}`
		for range 2 {
			if a := c.send("POST", path, body, "Idempotency-Key", "refused").want(t, 404, "message_not_found"); a.header.Get("Idempotency-Replayed") != "" {
				t.Error("a refusal was replayed")
			}
		}
	})

	t.Run("logging in is never repeated", func(t *testing.T) {
		t.Parallel()
		p := root.on(t).person("viewer")
		p.token = ""
		body := `{"method":"password","email":"` + p.email + `","password":"` + p.password + `"}`
		first := p.send("POST", "/auth/login", body, "Idempotency-Key", "login").want(t, 200, "")
		if again := p.send("POST", "/auth/login", body, "Idempotency-Key", "login").want(t, 200, ""); bytes.Equal(first.body, again.body) {
			t.Error("two logins have the same tokens")
		}
		p.send("POST", "/auth/login", body, "Idempotency-Key", "not a key").want(t, 200, "")
	})
}
