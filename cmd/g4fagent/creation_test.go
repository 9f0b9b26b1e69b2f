package main_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/failpoint"
)

// thing is a created item as one of its answers shows it.
type thing map[string]any

func thingIn(t testing.TB, raw []byte) thing {
	t.Helper()
	var envelope map[string]thing
	if err := json.Unmarshal(raw, &envelope); err != nil || len(envelope) != 1 {
		t.Fatalf("no item: %v in %s", err, raw)
	}
	for _, item := range envelope {
		return item
	}
	panic("unreachable")
}

func mustBeSame(t testing.TB, where string, want, got thing) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s shows another item than the creation did (-creation +%s):\n%s", where, where, diff)
	}
}

// listed is the item as the list at path has it.
func (c *client) listed(path string, id any) thing {
	c.server.t.Helper()
	items := all[thing](c, path)
	i := slices.IndexFunc(items, func(item thing) bool { return item["id"] == id })
	if i < 0 {
		c.server.t.Fatalf("%s has no %v", path, id)
	}
	return items[i]
}

// What a creation answers is what every later read says, to the microsecond; and
// its ETag is that of the first version.
func TestACreationIsAnsweredAsItIsRead(t *testing.T) {
	t.Parallel()
	root := admin(t)
	project := root.project()
	sessions := "/projects/" + project + "/sessions"
	for name, test := range map[string]struct {
		list, body, item, change string
	}{
		"project": {"/projects", `{"name":"New"}`, "/projects/", `{"name":"Other"}`},
		"session": {sessions, `{"title":"New","provider_id":"custom","model_id":"m"}`, "/sessions/", `{"title":"Other"}`},
		"user":    {"/admin/users", `{"name":"New","email":"` + newEmail() + `","roles":["viewer"]}`, "/admin/users/", `{"name":"Other"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := root.on(t)
			first := c.send("POST", test.list, test.body, "Idempotency-Key", "creation").want(t, 200, "")
			item, tag := thingIn(t, first.body), first.header.Get("ETag")
			id, _ := item["id"].(string)
			mustBeSame(t, "the list", item, c.listed(test.list, id))
			if name != "user" { // which only lists show
				one := c.send("GET", test.item+id, "").want(t, 200, "")
				mustBeSame(t, "the read", item, thingIn(t, one.body))
				if now := one.header.Get("ETag"); now != tag {
					t.Errorf("created as %s, read as %s", tag, now)
				}
			}
			changed := c.send("PATCH", test.item+id, test.change, "If-Match", tag).want(t, 200, "").header.Get("ETag")
			if changed == tag {
				t.Errorf("the ETag is %s before and after a change", tag)
			}
			again := c.send("POST", test.list, test.body, "Idempotency-Key", "creation").want(t, 200, "")
			if !bytes.Equal(first.body, again.body) || again.header.Get("ETag") != tag {
				t.Errorf("created as %s %s, again as %s %s", tag, first.body, again.header.Get("ETag"), again.body)
			}
			c.send("PATCH", test.item+id, test.change, "If-Match", tag).want(t, 412, "precondition_failed")
		})
	}
}

// The crash falls between the two appends of a creation, and a reactor makes the
// second: whoever asks again under the same key is told what is read.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	sessions, users := "/projects/"+c.project()+"/sessions", "/admin/users"
	bodies := map[string]map[string]any{
		sessions: {"title": "T", "provider_id": "custom", "model_id": "m"},
		users:    {"name": "U", "email": newEmail(), "roles": []string{"viewer"}},
	}
	for _, path := range []string{sessions, users} {
		before := len(all[thing](c, path))
		s.kill()
		s.start("G4FAGENT_FAILPOINT=" + failpoint.Completing + ":1")
		if a, err := s.login().do(t.Context(), "POST", path, "killed", bodies[path]); err == nil {
			t.Fatalf("the server was to die, and answered %d %s", a.status, a.body)
		}
		s.died()
		s.start()
		c = s.login()
		for deadline := time.Now().Add(20 * time.Second); len(all[thing](c, path)) == before; {
			if time.Now().After(deadline) {
				t.Fatalf("%s was not completed within 20 s", path)
			}
		}
		item := thingIn(t, c.must("POST", path, "killed", bodies[path], nil).body)
		mustBeSame(t, "the list", item, c.listed(path, item["id"]))
	}
	s.stop()
	s.fsck()
}
