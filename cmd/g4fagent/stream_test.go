package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// next is the stream's next frame; ok is false when it has ended.
func next(t testing.TB, frames <-chan frame) (f frame, ok bool) {
	t.Helper()
	select {
	case f, ok = <-frames:
		if ok && f.event != "end" && f.event != "cursor" {
			f.documented(t)
		}
		return f, ok
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
		return frame{}, false
	}
}

// documented holds a frame to the document's schema of frames.
func (f frame) documented(t testing.TB) {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal([]byte(f.data), &data); err != nil {
		t.Fatalf("%v in %q", err, f.data)
	}
	if err := documents().answers.Components.Schemas["StreamFrame"].Value.VisitJSON(data, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation()); err != nil {
		t.Errorf("a frame is not the documented one: %v\n%s", err, f.data)
	}
	if _, err := strconv.Atoi(f.id); err != nil || data["type"] != f.event {
		t.Errorf("id %q, event %q, type %v", f.id, f.event, data["type"])
	}
}

// until reads frames up to and with the first that is what it looks for.
func until(t testing.TB, frames <-chan frame, what string, found func(frame) bool) (seen []frame) {
	t.Helper()
	for {
		f, ok := next(t, frames)
		if !ok {
			t.Fatalf("the stream ended without %s; it had %v", what, seen)
		}
		seen = append(seen, f)
		if found(f) {
			return seen
		}
	}
}

func has(text string) func(frame) bool {
	return func(f frame) bool { return strings.Contains(f.data, text) }
}

// followed opens a stream that ends with the test.
func (c *client) followed(path, lastID string) <-chan frame {
	c.server.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.server.t.Cleanup(cancel)
	frames, err := c.stream(ctx, path, lastID)
	if err != nil {
		c.server.t.Fatal(err)
	}
	return frames
}

func TestStream(t *testing.T) {
	t.Parallel()
	root := admin(t)

	t.Run("shows what was and what comes, once and in order, and goes on where it was left", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		session := c.session(c.project())
		path := "/stream/sessions/" + session
		c.must("POST", "/sessions/"+session+"/messages", "", text("one"), nil)
		frames := c.followed(path, "")
		first := until(t, frames, "the first message", has(`"one"`))
		if first[0].event != "session" || first[0].id != "0" {
			t.Errorf("it begins with %+v", first[0])
		}
		for i := range 50 {
			c.must("POST", "/sessions/"+session+"/messages", "", text(fmt.Sprintf("live %d.", i)), nil)
		}
		live := until(t, frames, "the last message", has(`"live 49."`))
		if len(live) != 50 {
			t.Errorf("50 messages came as %d frames", len(live))
		}
		for i, f := range live {
			if !strings.Contains(f.data, fmt.Sprintf(`"live %d."`, i)) {
				t.Errorf("frame %d is %s", i, f.data)
			}
		}
		for name, resumed := range map[string]<-chan frame{
			"Last-Event-ID":              c.followed(path, live[9].id),
			"from_cursor":                c.followed(path+"?from_cursor="+live[10].id, ""),
			"the later of both":          c.followed(path+"?from_cursor=0", live[9].id),
			"the later of both, reverse": c.followed(path+"?from_cursor="+live[10].id, "0"),
		} {
			if f, _ := next(t, resumed); f.id != live[10].id {
				t.Errorf("%s: went on with %s, not %s", name, f.id, live[10].id)
			}
		}
	})

	t.Run("waits at a place that is not there yet", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		session := c.session(c.project())
		frames := c.followed("/stream/sessions/"+session+"?from_cursor=1", "")
		c.message(session)
		if f, _ := next(t, frames); f.event != "message" {
			t.Errorf("got %+v", f)
		}
	})

	t.Run("refuses what it does not understand", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		session := c.session(c.project())
		path := "/stream/sessions/" + session
		c.send("GET", path+"?from_cursor=abc", "").named(t, "from_cursor")
		c.send("GET", path, "", "Last-Event-ID", "abc").named(t, "Last-Event-ID")
		c.send("GET", path+"?run_id=run_0", "").want(t, 404, "run_not_found")
		foreign := c.run(c.session(c.project()))
		c.send("GET", path+"?run_id="+foreign, "").want(t, 404, "run_not_found")
		c.send("GET", "/stream/sessions/sess_0", "").want(t, 404, "session_not_found")
		c.send("HEAD", path, "")
	})

	t.Run("follows a run to its end, and then says that there is no more", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		session := c.session(c.project())
		run := c.run(session)
		path := "/stream/sessions/" + session + "?run_id=" + run
		frames := c.followed(path, "")
		until(t, frames, "the request", has(`"queued"`))
		c.message(session) // of no run
		c.must("POST", "/runs/"+run+"/cancel", "", nil, nil)
		var got struct{ Run struct{ Status string } }
		c.must("GET", "/runs/"+run, "", nil, &got)
		last := until(t, frames, "the end", func(f frame) bool { return f.event == "end" })
		final := last[len(last)-2]
		if !has(got.Run.Status)(final) || !has("finished")(last[len(last)-1]) {
			t.Errorf("the run is %s, the stream ended with %+v", got.Run.Status, last)
		}
		for _, f := range last {
			if f.event == "message" {
				t.Errorf("a run's stream has %+v", f)
			}
		}
		if _, open := next(t, frames); open {
			t.Error("something came after the end")
		}
		if a := c.send("GET", path, "", "Last-Event-ID", final.id); a.status != http.StatusNoContent {
			t.Errorf("a reconnection is answered %d %s", a.status, a.body)
		}
		again := until(t, c.followed(path, ""), "the end", func(f frame) bool { return f.event == "end" })
		if len(again) < 3 {
			t.Errorf("read again it is %v", again)
		}
		items := all[map[string]any](c, "/runs/"+run+"/events")
		if len(items) != len(again)-1 {
			t.Errorf("%d events in the list, %d in the stream", len(items), len(again)-1)
		}
	})

	t.Run("ends when its reader may not read any more", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		session := c.session(c.project())
		p := c.person("viewer")
		frames := p.followed("/stream/sessions/"+session, "")
		until(t, frames, "the session", has("created"))
		c.must("PATCH", "/admin/users/"+p.id, "", map[string]any{"disabled": true}, nil)
		// What wakes the stream lets it see that it is over.
		c.message(session)
		for f, ok := next(t, frames); ok; f, ok = next(t, frames) {
			if f.event == "end" {
				if !has("revoked")(f) {
					t.Errorf("it ended with %+v", f)
				}
				return
			}
		}
		t.Error("it ended without a word")
	})
}

// A ticket opens one path, and nothing else.
func TestTicket(t *testing.T) {
	t.Parallel()
	c := admin(t)
	p := c.person("viewer")
	session, other := c.session(c.project()), c.session(c.project())
	path := "/stream/sessions/" + session
	var made struct {
		Ticket    string
		ExpiresIn int `json:"expires_in"`
	}
	p.must("POST", "/auth/tickets", "", map[string]any{"path": path}, &made)
	if made.ExpiresIn < 60 || made.ExpiresIn > 600 {
		t.Errorf("it is good for %d s", made.ExpiresIn)
	}
	browser := &client{server: p.server, address: p.address}
	query := "?ticket=" + url.QueryEscape(made.Ticket)
	for range 2 { // EventSource comes back with the same URL
		until(t, browser.followed(path+query, ""), "the session", has("created"))
	}
	browser.send("GET", "/stream/sessions/"+other+query, "").want(t, 401, "unauthorized")
	browser.send("GET", "/sessions/"+session+query, "").want(t, 401, "unauthorized")
	browser.send("GET", path+query+"x", "").want(t, 401, "unauthorized")
	browser.send("GET", path, "", "Authorization", "Bearer "+made.Ticket).want(t, 401, "unauthorized")
	browser.send("GET", path+"?ticket="+url.QueryEscape(p.token), "").want(t, 401, "unauthorized")
	p.send("POST", "/auth/tickets", `{"path":"/projects"}`).named(t, "path")
	p.must("POST", "/auth/logout", "", map[string]any{}, nil)
	browser.send("GET", path+query, "").want(t, 401, "unauthorized")
	if strings.Contains(p.server.out.String(), made.Ticket) {
		t.Error("the ticket is in the server's log")
	}
}

// SIGTERM ends streams with a word, and the server in time.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	session := c.session(c.project())
	frames := c.followed("/stream/sessions/"+session, "")
	until(t, frames, "the session", has("created"))
	begin := time.Now()
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	f, ok := next(t, frames)
	if !ok || f.event != "end" || !has("shutdown")(f) {
		t.Errorf("the stream ended with %+v", f)
	}
	s.fsck()
}
