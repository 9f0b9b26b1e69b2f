package main_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider/aimocktest"
	"github.com/g4fagent/g4fagent/internal/failpoint"
)

// reply is long enough for a run to be killed in the middle of it.
var reply = strings.Repeat("The quick brown fox jumps over the lazy dog. ", 12)

// configure makes the mock the provider custom.
func (c *client) configure(mock *aimocktest.Server) {
	c.must("PUT", "/settings", "", map[string]any{"providers": []map[string]any{
		{"provider_id": "custom", "enabled": true, "base_url": mock.URL, "api_key": "sk-not-to-be-seen-anywhere"},
	}}, nil)
}

// question asks for an answer to a new message of the session. The process may
// die before it has answered: the same key asks for the same run.
func (c *client) question(session, key string) (run string, answered bool) {
	t := c.server.t
	t.Helper()
	var m struct {
		MessageID string `json:"message_id"`
	}
	c.must("POST", "/sessions/"+session+"/messages", key, text("Tell me of the fox."), &m)
	a, err := c.do(t.Context(), "POST", "/sessions/"+session+"/runs", key, map[string]any{
		"mode": "chat", "agent": map[string]any{"instructions": "Be brief."}, "input": map[string]any{"message_id": m.MessageID},
	})
	if err != nil {
		return "", false
	}
	var r struct {
		RunID string `json:"run_id"`
	}
	if err := json.Unmarshal(a.body, &r); err != nil || r.RunID == "" {
		t.Fatalf("start a run: %d %s", a.status, a.body)
	}
	return r.RunID, true
}

// follower is a client of a run's stream that comes back where it was.
type follower struct {
	c       *client
	path    string
	last    string
	tokens  map[string]string // text by message
	status  string
	message string // of the assistant, as posted
	ids     map[string]bool
}

func follow(c *client, session, run string) *follower {
	return &follower{c: c, path: "/stream/sessions/" + session + "?run_id=" + run, tokens: map[string]string{}, ids: map[string]bool{}}
}

// read takes frames until the stream ends; it reports whether the run did.
func (f *follower) read() bool {
	t := f.c.server.t
	frames, err := f.c.stream(t.Context(), f.path, f.last)
	if err != nil {
		return false // the server is away
	}
	for fr := range frames {
		if fr.event == "end" {
			return true
		}
		f.take(fr)
	}
	return false
}

func (f *follower) take(fr frame) {
	t := f.c.server.t
	if f.ids[fr.id] {
		t.Errorf("frame %s came twice", fr.id)
	}
	f.ids[fr.id], f.last = true, fr.id
	var data struct {
		Data struct {
			Status     string
			Superseded string `json:"superseded_message_id"`
			MessageID  string `json:"message_id"`
			Text       string
			ID         string
			Content    []struct{ Text string }
		}
	}
	if err := json.Unmarshal([]byte(fr.data), &data); err != nil {
		t.Fatalf("%v in %s", err, fr.data)
	}
	switch fr.event {
	case "token":
		f.tokens[data.Data.MessageID] += data.Data.Text
	case "status":
		f.status = data.Data.Status
		delete(f.tokens, data.Data.Superseded)
	case "message":
		f.message = data.Data.Content[0].Text
	}
}

// Wherever the process is killed, the run goes on within seconds of the next
// start and ends once, with one answer; a client that comes back with its last id
// sees that answer and no other.
func TestRunsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	for _, place := range []string{failpoint.Reacted, failpoint.Working, failpoint.Streaming, failpoint.Answering} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			mock := aimocktest.Start(t, aimocktest.Options{Reply: reply, ChunkSize: 40, ChunkDelay: 20 * time.Millisecond})
			s := newServer(t)
			s.start()
			c := s.login()
			c.configure(mock)
			session := c.session(c.project())
			// A run that is over leaves nothing else to react to.
			first, _ := c.question(session, "first")
			follow(c, session, first).read()
			s.stop()
			s.start("G4FAGENT_FAILPOINT=" + place + ":1")
			c = s.login()
			run, answered := c.question(session, "q")
			f := follow(c, session, run)
			if answered {
				f.read()
			}
			s.died()
			s.start()
			c = s.login()
			f.c = c
			if !answered {
				run, _ = c.question(session, "q")
				f = follow(c, session, run)
			}
			if !f.read() {
				t.Fatal("the stream ended without a word")
			}
			if f.status != "completed" || strings.TrimSpace(f.message) != strings.TrimSpace(reply) {
				t.Errorf("the client saw status %q, message %q", f.status, f.message)
			}
			if len(f.tokens) != 1 {
				t.Errorf("the client was left with %d answers", len(f.tokens))
			}
			for _, said := range f.tokens {
				if said != f.message {
					t.Errorf("the pieces say %q, the message %q", said, f.message)
				}
			}
			c.answered(session)
			s.stop()
			s.fsck()
			if strings.Contains(s.out.String(), "sk-not-to-be-seen-anywhere") {
				t.Error("the provider's key is in the server's output")
			}
		})
	}
}

// answered looks at the session as others see it: each question has one answer.
func (c *client) answered(session string) {
	c.server.t.Helper()
	type message struct{ Role string }
	var roles []string
	for _, m := range all[message](c, "/sessions/"+session+"/messages") {
		roles = append(roles, m.Role)
	}
	if strings.Join(roles, " ") != "user assistant user assistant" {
		c.server.t.Errorf("the session's messages are %v", roles)
	}
}

// The server's bounds hold for every run: a session's config can narrow them, and
// not widen them.
func TestRunsAreBounded(t *testing.T) {
	t.Parallel()
	mock := aimocktest.Start(t, aimocktest.Options{})
	s := newServer(t, "--run-max-output-tokens", "300", "--run-timeout", "5s")
	s.start()
	c := s.login()
	c.configure(mock)
	project := c.project()
	session := func(config map[string]any) string {
		var made struct{ Session struct{ ID string } }
		c.must("POST", "/projects/"+project+"/sessions", "", map[string]any{"title": "T", "provider_id": "custom", "model_id": "m", "config": config}, &made)
		return made.Session.ID
	}
	var asked []int
	for _, config := range []map[string]any{{}, {"max_tokens": 100}, {"max_tokens": 5000}} {
		session := session(config)
		run, _ := c.question(session, "")
		follow(c, session, run).read()
		requests := mock.Requests(t)
		var body struct {
			MaxTokens int `json:"max_tokens"`
		}
		if err := json.Unmarshal(requests[len(requests)-1].Body, &body); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, body.MaxTokens)
	}
	if want := []int{300, 100, 300}; !slices.Equal(asked, want) {
		t.Errorf("the model was asked for %v tokens at most, want %v", asked, want)
	}

	mock.Script(t, aimocktest.Answer{FirstDelay: time.Minute})
	slow := session(map[string]any{})
	run, _ := c.question(slow, "")
	f := follow(c, slow, run)
	if !f.read() || f.status != "failed" {
		t.Errorf("a run that takes too long is %s", f.status)
	}
	if events := c.must("GET", "/runs/"+run+"/events", "", nil, nil); !strings.Contains(string(events.body), "run_timeout") {
		t.Errorf("its events are %s", events.body)
	}
}
